"""Sums over all pairs of documents in one kernel: made by torch.compile, for devices on which memory takes the time.

Each document adds up what it makes with every other one; a compiled kernel keeps those numbers in registers, so that
nothing is as large as the pairs. Every pair is computed by both of its documents: arithmetic is cheap there, and no two
threads add to one number, so that equal calls of a process give equal sums.
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
from torch.utils._python_dispatch import _get_current_dispatch_mode

from ltr.losses.engines.whole import Pay
from ltr.losses.gains import nonzero
from ltr.losses.pair_weights import Columns, PairWeights, Term

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


def fused_pair_sums(
    term: Term,
    weights: PairWeights,
    values: Tensor,
    scores: Tensor,
    labels: Tensor,
    mask: Tensor,
    order: Tensor,
    columns: Columns,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None, Tensor] | None:
    """What ``pairs.pair_sums`` adds up block by block: costs, gradient, and the number of pairs of each list.

    None where this device or this term has no compiled kernel.
    """
    if not _usable(values):
        return None
    made = weights.columns(scores.detach(), labels, mask)
    found = _run(_pair_rows, (term, weights), values.detach(), order, mask, made, columns)
    if found is None:
        return None
    costs, gradient, n_pairs, total = found
    costs, n_pairs = costs.sum(-1), n_pairs.sum(-1)
    if weights.mean:
        total = nonzero(total.sum(-1) if made else n_pairs.to(costs))
        costs /= total
        gradient /= total[:, None]
    # without a gradient it is thrown away: another kernel would take longer to make than it saves
    return costs, gradient if with_gradient else None, n_pairs


def fused_rank_sums(
    pay: Pay, columns: tuple[Tensor, ...], values: Tensor, temperature: float, with_gradient: bool
) -> tuple[Tensor, Tensor | None] | None:
    """What ``soft_ranks.rank_sums`` adds up block by block, for all documents: costs and gradient, before any start.

    None where this device has no compiled kernel.

    Args:
        pay, columns, temperature: as there.
        values: [lists, docs] scores, lowered where there is no document.
    """
    ranks = fused_ranks(values, temperature)
    if ranks is None:
        return None
    cost, slope = pay(ranks, *columns)
    if not with_gradient:
        return cost.sum(-1), None
    gradient = _run(_rank_pulls, (), values, slope.contiguous(), _steep(values, temperature))
    return None if gradient is None else (cost.sum(-1), gradient)


def fused_ranks(values: Tensor, temperature: float) -> Tensor | None:
    """[lists, docs] relaxed ranks of all documents; arguments and None as for ``fused_rank_sums``."""
    return _run(_rank_rows, (), values, _steep(values, temperature)) if _usable(values) else None


def _pair_rows(
    term: Term, weights: PairWeights, values: Tensor, order: Tensor, mask: Tensor, made: Columns, columns: Columns
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
        cost, slope = term(high(values) - low(values), tuple(map(high, columns)), tuple(map(low, columns)))
        weight = weights.weigh(tuple(map(high, made)), tuple(map(low, made)))
        if weight is None:
            weight = torch.ones_like(cost)
        else:
            cost, slope = cost * weight, slope * weight
        return torch.where(pairs, cost, 0), torch.where(pairs, slope, 0), torch.where(pairs, weight, 0)

    cost, slope, weight = of(upper, 2)
    return cost.sum(2), slope.sum(2) - of(lower, 1)[1].sum(2), upper.sum(2), weight.sum(2)


def _rank_rows(values: Tensor, steep: Tensor) -> Tensor:
    """[lists, docs] relaxed ranks; ``steep`` is one over the temperature."""
    return ((values.unsqueeze(1) - values.unsqueeze(2)) * steep).sigmoid().sum(2) + 0.5


def _rank_pulls(values: Tensor, slope: Tensor, steep: Tensor) -> Tensor:
    """[lists, docs] the gradient towards ``values`` where ``slope`` is that towards their relaxed ranks."""
    gap = (values.unsqueeze(1) - values.unsqueeze(2)) * steep
    # as in whole.py: both documents of a pair have the same steepness, and none is left of the pair with itself
    pull = (slope.unsqueeze(1) - slope.unsqueeze(2)) * steep
    return (pull * gap.sigmoid() * (-gap).sigmoid()).sum(2)


def _steep(values: Tensor, temperature: float) -> Tensor:
    """One over the temperature as a number on the device: kernels are not made for each temperature."""
    return torch.full((), 1 / temperature, dtype=values.dtype, device=values.device)


def _usable(values: Tensor) -> bool:
    """Whether compiled functions may be called; where torch runs them uncompiled, they would hold all pairs."""
    return (
        values.device.type in DEVICES
        and values.numel() > 0
        and not torch._dynamo.config.disable
        and torch._dynamo.eval_frame._stance.stance == "default"
        and _get_current_dispatch_mode() is None  # of this thread: others may compile just now
    )


@torch._disable_dynamo  # in a step that is compiled as a whole too: its compiler may put pairs into memory
def _run(function: Callable, parts: tuple, *inputs: Any) -> Any:
    """``function(*parts, *inputs)`` compiled, None if it cannot be.

    Args:
        parts: terms and weights. The compiler notices whether their parameters are those that a kernel was made with.
        inputs: tensors and tuples of tensors.
    """
    key = (function, *map(_kind, parts))
    # numbers of links and terms become constants of the kernel
    with _turn, torch._dynamo.config.patch(specialize_float=True, recompile_limit=VARIANTS):
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
        except torch._dynamo.exc.FailOnRecompileLimitHit:
            _give_up(key, f"{VARIANTS} kernels")
            log.warning(
                "a loss of %s was compiled %d times, for as many parameters or shapes; from now on it is computed block "
                "by block, which takes several times as long",
                _named(function, parts), VARIANTS,
            )  # fmt: skip
        except Exception as error:
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
        torch._dynamo.eval_frame.reset_code(code.__code__)


def _kind(part: Any) -> Any:
    """What a part is made of, without its parameters: equal for parts of which one can be compiled if the other can."""
    if dataclasses.is_dataclass(part):
        return (type(part), *(_kind(getattr(part, field.name)) for field in dataclasses.fields(part)))
    if isinstance(part, (tuple, list)):
        return tuple(map(_kind, part))
    return getattr(part, "__code__", None) or type(part)


def _named(function: Callable, parts: tuple) -> str:
    """What a user would know it by."""
    return ", ".join(getattr(part, "__name__", None) or repr(part) for part in parts or (function,))
