"""All pairs of few short lists at once, as the documents come: sorting them and cutting blocks would take longer than the pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ltr.losses.engines.problem import PairProblem, PairSums
from ltr.losses.gains import nonzero
from ltr.losses.pair_weights import Columns, PairWeights

#: (relaxed ranks, columns at the same documents) -> cost of each document and its derivative by the rank
RankCost = Callable[..., tuple[Tensor, Tensor]]


def dense_pair_sums(problem: PairProblem) -> PairSums:
    """What ``pairs.blocked_pair_sums`` adds up block by block.

    Pairs lie as [docs, docs, lists]: kernels run along the lists, of which there are many where documents are few (a
    difference takes 2.2 us at 64 x 10 against 5.5 as [lists, docs, docs], a sum over documents 2.3 against 4.5).
    """
    weights, targets = problem.weights, problem.targets
    columns = problem.weight_columns()
    pairs = _pairs(weights, problem.order, problem.mask)
    n_pairs = pairs.sum((0, 1))
    upper, lower = _facing(columns) if columns else ((), ())
    difference = _differences(problem.values.detach())
    if not problem.finite:  # very large differences that make no pair cost infinitely much, and 0 * inf is not 0
        difference.mul_(pairs)
    cost, slope = problem.costs(difference, None if targets is None else _differences(targets))
    weight = weights.weigh(upper, lower)
    counted = pairs if weight is None else pairs.mul_(weight)
    costs = cost.mul_(counted).sum((0, 1))
    total = None
    if weights.mean:
        total = n_pairs.clamp(min=1) if weight is None else nonzero(counted.sum((0, 1)))
        costs /= total
    if not problem.with_gradient:
        return costs, None, n_pairs
    slope = slope.mul_(counted)
    gradient = slope.sum(1).sub_(slope.sum(0))
    if total is not None:
        gradient /= total
    return costs, gradient.t(), n_pairs


def dense_rank_sums(
    rank_cost: RankCost, columns: tuple[Tensor, ...], values: Tensor, temperature: float, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """What ``soft_ranks.rank_sums`` adds up block by block, for all documents: costs and gradient, before any start.

    Args:
        rank_cost, columns, temperature: as there.
        values: [lists, docs] scores, lowered where there is no document.
    """
    if not values.numel():
        return values.new_zeros(len(values)), torch.zeros_like(values) if with_gradient else None
    values = transposed(values)
    differences = values.unsqueeze(0) - values.unsqueeze(1)  # [docs, others, lists]: how far the others are above
    if temperature != 1:
        differences.mul_(1 / temperature)
    above = differences.sigmoid()
    ranks = above.sum(1).add_(0.5)  # a document is above itself with probability 1/2
    cost, slope = rank_cost(ranks.t(), *columns)
    if not with_gradient:
        return cost.sum(-1), None
    # σ(x) σ(-x), not p (1 - p): the digits that saturated pairs leave are all their gradient. It is the same for
    # both documents of a pair, so that one sum does; nothing is left of the pair that a document makes with itself
    density = differences.neg_().sigmoid_().mul_(above)
    slope = transposed(slope if temperature == 1 else slope / temperature)
    gradient = (slope.unsqueeze(1) - slope.unsqueeze(0)).mul_(density).sum(0)
    return cost.sum(-1), gradient.t()


def lowered(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores, and at masked places the lowest number, which nothing is below.

    Differences are taken before a temperature divides them: large scores over small temperatures lose the digits in
    which close documents differ.
    """
    return torch.where(mask, scores.detach(), torch.finfo(scores.dtype).min)


def transposed(values: Tensor) -> Tensor:
    """[docs, lists] in memory."""
    return values.t().contiguous()


def _differences(values: Tensor) -> Tensor:
    """[docs, docs, lists] how far the first document's value is above the second's."""
    values = transposed(values)
    return values.unsqueeze(1) - values.unsqueeze(0)


def _facing(columns: Columns) -> tuple[Columns, Columns]:
    """Columns of the upper documents [docs, 1, lists] and of the lower ones [1, docs, lists]."""
    turned = [transposed(column) for column in columns]
    return tuple(c.unsqueeze(1) for c in turned), tuple(c.unsqueeze(0) for c in turned)


def _pairs(weights: PairWeights, order: Tensor, mask: Tensor) -> Tensor:
    """[docs, docs, lists] 1 where the first document should be above the second, 0 elsewhere."""
    docs = mask.shape[-1]
    if weights.others:
        above, beside = transposed(((order > 0) & mask).to(order)), transposed(mask.to(order))
        pairs = above.unsqueeze(1) * beside.unsqueeze(0)
        pairs.diagonal().zero_()  # a document makes no pair with itself
        return pairs
    # nothing is above or below NaN
    order = transposed(torch.where(mask, order, torch.nan))
    pairs = order.new_empty(docs, docs, len(mask))
    return torch.gt(order.unsqueeze(1), order.unsqueeze(0), out=pairs)
