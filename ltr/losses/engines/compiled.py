"""Sums over all pairs of documents in one kernel: made by torch.compile, for devices on which memory takes the time.

Each document adds up what it makes with every other one; a compiled kernel keeps those numbers in registers, so that
nothing is as large as the pairs. Every pair is computed by both of its documents: arithmetic is cheap there, and no two
threads add to one number, so that equal calls of a process give equal sums. In a step that is compiled as a whole these
functions stay outside: its compiler may put pairs into memory.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ltr.losses.base import Loss, arguments_of
from ltr.losses.engines import torch_private
from ltr.losses.engines.dense import RankCost
from ltr.losses.engines.problem import PairCost, PairProblem, PairSums
from ltr.losses.gains import nonzero
from ltr.losses.pair_weights import Columns, PairWeights

log = logging.getLogger(__name__)

#: kinds of devices whose sums are compiled; elsewhere blocks that fit the cache are as fast and start at once
DEVICES = {"cuda"}

#: how many kernels one kind of loss may have: for other parameters, number types, single lists. A loss whose parameters
#: change all the time would spend its time compiling
VARIANTS = 64

#: the compiler may not put numbers of pairs into memory, however often it needs them or long they take to compute
OPTIONS: dict[str, Any] = {
    "realize_opcount_threshold": 1 << 20,
    "realize_reads_threshold": 1 << 20,
    "realize_acc_reads_threshold": 1 << 20,
}

#: functions, and compiled, by the kind of what they compute
_made: dict[Any, tuple[types.FunctionType, Callable]] = {}
#: kinds that cannot be compiled here, or not any more, with the reason
_refused: dict[Any, str] = {}
#: settings of the compiler are changed for one thread at a time
_turn = threading.RLock()


def compiled_pair_sums(problem: PairProblem) -> PairSums | None:
    """What ``pairs.blocked_pair_sums`` adds up block by block.

    None where this device or this cost function has no compiled kernel.
    """
    return _pair_sums(problem) if _is_for(problem.values) else None


def compiled_rank_sums(
    rank_cost: RankCost, columns: tuple[Tensor, ...], values: Tensor, temperature: float, with_gradient: bool
) -> tuple[Tensor, Tensor | None] | None:
    """What ``soft_ranks.rank_sums`` adds up block by block, for all documents: costs and gradient, before any start.

    None where this device has no compiled kernel.

    Args:
        rank_cost, columns, temperature: as there.
        values: [lists, docs] scores, lowered where there is no document.
    """
    return _rank_sums(rank_cost, columns, values, temperature, with_gradient) if _is_for(values) else None


def compiled_ranks(values: Tensor, temperature: float) -> Tensor | None:
    """[lists, docs] relaxed ranks of all documents; arguments and None as for ``compiled_rank_sums``."""
    return _ranks(values, temperature) if _is_for(values) else None


def _is_for(values: Tensor) -> bool:
    """Whether sums are compiled on this device: asked first, since all else would import the compiler."""
    return values.device.type in DEVICES and values.numel() > 0


@torch_private.untraced
def _pair_sums(problem: PairProblem) -> PairSums | None:
    weights, columns = problem.weights, problem.weight_columns()
    sums = _run(
        _pair_rows,
        (problem.pair_cost, weights),
        problem.values.detach(),
        problem.order,
        problem.mask,
        columns,
        problem.targets,
    )
    if sums is None:
        return None
    costs, gradient, n_pairs, total = sums
    costs, n_pairs = costs.sum(-1), n_pairs.sum(-1)
    if weights.mean:
        total = nonzero(total.sum(-1) if columns else n_pairs.to(costs))
        costs /= total
        gradient /= total[:, None]
    # without a gradient it is thrown away: another kernel would take longer to make than it saves
    return costs, gradient if problem.with_gradient else None, n_pairs


@torch_private.untraced
def _rank_sums(
    rank_cost: RankCost, columns: tuple[Tensor, ...], values: Tensor, temperature: float, with_gradient: bool
) -> tuple[Tensor, Tensor | None] | None:
    ranks = _ranks(values, temperature)
    if ranks is None:
        return None
    cost, slope = rank_cost(ranks, *columns)
    if not with_gradient:
        return cost.sum(-1), None
    gradient = _run(_rank_gradient, (), values, slope.contiguous(), _reciprocal(values, temperature))
    return None if gradient is None else (cost.sum(-1), gradient)


@torch_private.untraced
def _ranks(values: Tensor, temperature: float) -> Tensor | None:
    return _run(_rank_rows, (), values, _reciprocal(values, temperature))


def _pair_rows(
    pair_cost: PairCost,
    weights: PairWeights,
    values: Tensor,
    order: Tensor,
    mask: Tensor,
    columns: Columns,
    targets: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """[lists, docs] each: costs of the pairs whose upper document this is, the gradient, how many they are, their weights."""
    if weights.others:
        place = torch.arange(values.shape[-1], device=values.device)
        above, beside = mask & (order > 0), place[:, None] != place
        upper = above.unsqueeze(2) & mask.unsqueeze(1) & beside
        lower = above.unsqueeze(1) & mask.unsqueeze(2) & beside
    else:
        both = mask.unsqueeze(2) & mask.unsqueeze(1)
        upper = both & (order.unsqueeze(2) > order.unsqueeze(1))
        lower = both & (order.unsqueeze(2) < order.unsqueeze(1))

    def of(pairs: Tensor, own: int) -> tuple[Tensor, Tensor, Tensor]:
        """Costs, slopes, weights of pairs whose upper (own 2) or lower (own 1) document is the row's."""
        high, low = (lambda c: c.unsqueeze(own)), (lambda c: c.unsqueeze(3 - own))
        difference = high(values) - low(values)
        cost, slope = pair_cost(difference) if targets is None else pair_cost(difference, high(targets) - low(targets))
        weight = weights.weigh(tuple(map(high, columns)), tuple(map(low, columns)))
        if weight is None:
            weight = torch.ones_like(cost)
        else:
            cost, slope = cost * weight, slope * weight
        return torch.where(pairs, cost, 0), torch.where(pairs, slope, 0), torch.where(pairs, weight, 0)

    cost, slope, weight = of(upper, 2)
    return cost.sum(2), slope.sum(2) - of(lower, 1)[1].sum(2), upper.sum(2), weight.sum(2)


def _rank_rows(values: Tensor, reciprocal: Tensor) -> Tensor:
    """[lists, docs] relaxed ranks; ``reciprocal`` is one over the temperature."""
    return ((values.unsqueeze(1) - values.unsqueeze(2)) * reciprocal).sigmoid().sum(2) + 0.5


def _rank_gradient(values: Tensor, slope: Tensor, reciprocal: Tensor) -> Tensor:
    """[lists, docs] the gradient towards ``values`` where ``slope`` is that towards their relaxed ranks."""
    difference = (values.unsqueeze(1) - values.unsqueeze(2)) * reciprocal
    # as in whole.py: σ(x) σ(-x) is the same for both documents of a pair, and none is left of the pair with itself
    slopes = (slope.unsqueeze(1) - slope.unsqueeze(2)) * reciprocal
    return (slopes * difference.sigmoid() * (-difference).sigmoid()).sum(2)


def _reciprocal(values: Tensor, temperature: float) -> Tensor:
    """One over the temperature as a number on the device: kernels are not made for each temperature."""
    return torch.full((), 1 / temperature, dtype=values.dtype, device=values.device)


def _run(function: Callable, parts: tuple, *inputs: Any) -> Any:
    """``function(*parts, *inputs)`` compiled; None if it cannot be, or torch would run it uncompiled just now.

    Args:
        parts: cost functions and weights. The compiler notices whether their parameters are those that a kernel was made with.
        inputs: tensors and tuples of tensors.
    """
    if not torch_private.compiles_now():  # it would hold all pairs
        return None
    key = (function, *map(_kind, parts))
    # numbers of links and losses become constants of the kernel
    with _turn, torch_private.limits(VARIANTS):
        if key in _refused:
            return None
        try:
            if key not in _made:
                log.info("compiling a loss of %s for %s: some seconds", _named(function, parts), inputs[0].device)
                # a code object of its own: kernels that share one also share how many may be made
                code = types.FunctionType(function.__code__.replace(), function.__globals__, name=function.__name__)
                # the whole, or nothing: what is not compiled would hold all pairs
                _made[key] = code, torch.compile(code, dynamic=True, fullgraph=True, options=OPTIONS)
            return _made[key][1](*parts, *inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # torch's compiler has dozens of kinds, and blocks are right whatever it was
            if torch_private.is_limit_hit(error):
                _give_up(key, f"{VARIANTS} kernels")
                log.warning(
                    "a loss of %s was compiled %d times, for as many parameters or shapes; from now on it is computed "
                    "block by block, which takes several times as long",
                    _named(function, parts), VARIANTS,
                )  # fmt: skip
                return None
            # no compiler on the machine, or a link that torch cannot trace: right all the same, in blocks
            _give_up(key, f"{type(error).__name__}: {error}")
            # torch names its compiler in the first line, the fault in the next
            said = " ".join(str(error).split("\n")[:2]).strip()
            log.warning(
                "a loss of %s is not compiled and takes several times as long, computed block by block: %s: %s",
                _named(function, parts), type(error).__name__, said,
            )  # fmt: skip
    return None


def _give_up(key: Any, reason: str) -> None:
    """Compute this kind in blocks from now on, and let its kernels go, which torch would keep."""
    _refused[key] = reason
    code, _ = _made.pop(key, (None, None))
    if code is not None:
        torch_private.forget(code)


def _kind(part: Any) -> Any:
    """What a part is made of, without its parameters: equal for parts of which one can be compiled if the other can."""
    if isinstance(part, types.MethodType):
        return part.__func__.__code__, _kind(part.__self__)
    if isinstance(part, Loss):
        return (type(part), *map(_kind, arguments_of(part).values()))
    if dataclasses.is_dataclass(part):
        return (type(part), *(_kind(getattr(part, field.name)) for field in dataclasses.fields(part)))
    if isinstance(part, (tuple, list)):
        return tuple(map(_kind, part))
    return getattr(part, "__code__", None) or type(part)


def _named(function: Callable, parts: tuple) -> str:
    """What a user would know it by."""
    owners = (getattr(part, "__self__", part) for part in parts or (function,))
    return ", ".join(getattr(owner, "__qualname__", None) or repr(owner) for owner in owners)
