"""Sums over all pairs of documents in one kernel: made by torch.compile, for devices on which memory takes the time.

Each document adds up what it makes with every other one; a compiled kernel keeps those numbers in registers, so that
nothing is as large as the pairs. Every pair is computed by both of its documents: arithmetic is cheap there, and sums
have one order, which makes results the same every time.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ltr.losses.gains import nonzero
from ltr.losses.whole import Pay

if TYPE_CHECKING:
    from ltr.losses.pairs import Columns, PairWeights, Term

log = logging.getLogger(__name__)

#: kinds of devices whose sums are compiled; elsewhere blocks that fit the cache are as fast and start at once
DEVICES = {"cuda"}

#: compiled functions by what they were made for
_made: dict[Any, Callable] = {}
#: what cannot be compiled here, with the reason
_refused: dict[Any, str] = {}


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
    if not _usable(values, (term, weights)):
        return None

    def rows(values: Tensor, order: Tensor, mask: Tensor, made: Columns, columns: Columns) -> tuple[Tensor, ...]:
        return _pair_rows(term, weights, values, order, mask, made, columns)

    made = weights.columns(scores.detach(), labels, mask)
    found = _run((term, weights), rows, values.detach(), order, mask, made, columns)
    if found is None:
        return None
    costs, gradient, n_pairs, total = found
    costs, n_pairs = costs.sum(-1), n_pairs.sum(-1)
    if weights.mean:
        total = nonzero(total.sum(-1) if made else n_pairs.to(costs))
        costs /= total
        gradient /= total[:, None]
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
    if ranks is None or not _usable(values, _rank_pulls):
        return None
    cost, slope = pay(ranks, *columns)
    if not with_gradient:
        return cost.sum(-1), None
    steep = values.new_tensor(1 / temperature)
    gradient = _run(_rank_pulls, _rank_pulls, values, slope.contiguous(), steep)
    return None if gradient is None else (cost.sum(-1), gradient)


def fused_ranks(values: Tensor, temperature: float) -> Tensor | None:
    """[lists, docs] relaxed ranks of all documents; arguments and None as for ``fused_rank_sums``."""
    if not _usable(values, _rank_rows):
        return None
    return _run(_rank_rows, _rank_rows, values, values.new_tensor(1 / temperature))


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


def _usable(values: Tensor, key: Any) -> bool:
    """Whether there may be a kernel for it: the device has compiled ones, and this one was not refused before."""
    if values.device.type not in DEVICES or not values.numel() or torch._dynamo.config.disable:
        return False
    try:
        return key not in _refused
    except TypeError:  # a link of the user's own that cannot be compared with others
        return False


def _run(key: Any, function: Callable, *inputs: Any) -> Any:
    """``function(*inputs)`` compiled, by the kernel that was made first for an equal ``key``; None if there cannot be one."""
    if key not in _made:
        # a code object of its own: kernels that share one also share the number of shapes and types they may be made for
        code = types.FunctionType(
            function.__code__.replace(), function.__globals__, closure=function.__closure__, name=function.__name__
        )
        # the whole, or nothing: what is not compiled would hold all pairs
        _made[key] = torch.compile(code, dynamic=True, fullgraph=True)
        log.info("compiling a loss of %s for %s, once in this process: some seconds", _named(key), inputs[0].device)
    try:
        return _made[key](*inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # no compiler on the machine, or a link that torch cannot trace: right all the same, in blocks
        _refused[key] = f"{type(error).__name__}: {error}"
        first = str(error).strip().splitlines()[:1]
        log.warning(
            "a loss of %s is not compiled and takes several times as long, computed block by block: %s: %s",
            _named(key), type(error).__name__, *first or [""],
        )  # fmt: skip
        return None


def _named(key: Any) -> str:
    """What a user would know it by."""
    parts = key if isinstance(key, tuple) else (key,)
    return ", ".join(getattr(part, "__name__", None) or repr(part) for part in parts)
