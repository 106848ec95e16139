"""Ranks that move smoothly with the scores: sums of sigmoids, computed block by block with their gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ltr.losses.engines.blocks import Block, attached, blocks, fits, over_parts, pairs_at_once
from ltr.losses.engines.compiled import compiled_rank_sums, compiled_ranks
from ltr.losses.engines.dense import RankCost, dense_rank_sums, lowered


class SoftRanks:
    """Relaxed ranks of some documents among all of their list, block by block, and their derivatives.

    ``rᵢ = 1 + Σ_{j ≠ i} σ((ŝⱼ − ŝᵢ)/τ)``: each document adds to the rank of another the probability of being above it.

    Args:
        scores: [lists, docs] lowered (``whole.lowered``).
        wanted: [lists, docs] bool, whose ranks are asked for; masked documents among them do not count.
        mask: [lists, docs] True where there is a document.
        temperature: τ > 0, in units of score.
        with_gradient: whether ``derivatives`` will be asked for; without them blocks take half the memory.
    """

    def __init__(self, scores: Tensor, wanted: Tensor, mask: Tensor, temperature: float, with_gradient: bool = True):
        self.temperature, self.with_gradient = temperature, with_gradient
        wanted = mask & wanted
        # rows of documents whose ranks nobody asks for come last and are empty
        self.places = (mask.to(torch.int8) + wanted).sort(dim=-1, descending=True, stable=True).indices
        self.values = scores.gather(-1, self.places)
        self.count = mask.sum(-1)
        above = torch.arange(mask.shape[-1], device=mask.device) < wanted.sum(-1, keepdim=True)
        self.first = torch.where(above, 0, self.count[:, None])

    def sorted(self, values: Tensor) -> Tensor:
        """[lists, docs] values in the order that the blocks speak of."""
        return values.gather(-1, self.places)

    def unsorted(self, values: Tensor) -> Tensor:
        """[lists, docs] values in the order in which the documents came."""
        return torch.empty_like(values).scatter_(-1, self.places, values)

    @property
    def blocks(self) -> list[Block]:
        """The documents whose ranks are wanted, against all of their list."""
        return list(blocks(self.first, self.count, pairs_at_once(self.values)))

    def ranked(self, some: Sequence[Block]) -> Iterator[tuple[Block, Tensor, Tensor, Tensor]]:
        """Blocks, with [lists, rows, docs] (column - row) / τ and σ of that, and [lists, rows] relaxed ranks."""
        for block in some:
            differences = self.values[block.lists, None, block.cols] - self.values[block.lists, block.rows, None]
            if self.temperature != 1:
                differences.mul_(1 / self.temperature)
            above = differences.sigmoid() if self.with_gradient else differences.sigmoid_()
            yield block, differences, above, above.sum(2).add_(0.5)  # a document is above itself with probability 1/2

    def derivatives(self, block: Block, differences: Tensor, above: Tensor, slope: Tensor) -> Tensor:
        """[lists, rows, docs] derivatives by each difference, where ``slope`` [lists, rows] are those by each rank.

        They count for columns, and against rows. Overwrites the differences.
        """
        # σ(x) σ(−x), not p (1 − p): the digits that saturated pairs leave are all their gradient
        density = differences.neg_().sigmoid_().mul_(above)
        density.diagonal(block.rows.start, 1, 2).zero_()
        return density.mul_((slope / self.temperature)[:, :, None])


def rank_sums(
    rank_cost: RankCost,
    columns: tuple[Tensor, ...],
    scores: Tensor,
    wanted: Tensor,
    mask: Tensor,
    temperature: float,
    start: float = 0.0,
    keep: Tensor | None = None,
) -> Tensor:
    """[lists] ``start`` plus sums over documents of what their relaxed ranks cost, with a gradient.

    Args:
        rank_cost: (relaxed ranks, columns at the same documents) -> costs and their derivatives by the ranks.
        columns: [lists, docs] numbers that ``rank_cost`` is made from; with them it must cost nothing where ``wanted`` or
            ``mask`` is False.
        scores, wanted, mask, temperature: as for ``SoftRanks``; short lists get the ranks of all documents.
        start: the cost of a list before its documents.
        keep: [lists] bool, which lists cost anything (default: all); the gradients of others must be 0 by themselves.
    """
    with torch.no_grad():
        values = lowered(scores, mask)
        if fits(scores):
            costs, gradient = dense_rank_sums(rank_cost, columns, values, temperature, scores.requires_grad)
        else:
            sums = compiled_rank_sums(rank_cost, columns, values, temperature, scores.requires_grad)
            costs, gradient = sums or _blocked_sums(
                rank_cost, columns, SoftRanks(values, wanted, mask, temperature, scores.requires_grad)
            )
        if start:
            costs.add_(start)
        if keep is not None:
            costs.mul_(keep)
    return costs if gradient is None else attached(scores, costs, gradient)


def _blocked_sums(rank_cost: RankCost, columns: tuple[Tensor, ...], soft: SoftRanks) -> tuple[Tensor, Tensor | None]:
    """Costs and, where asked for, the gradient, block by block."""
    placed = [soft.sorted(column) for column in columns]

    def sums(some: Sequence[Block]) -> tuple[Tensor, Tensor | None]:
        costs = soft.values.new_zeros(len(soft.values))
        gradient = torch.zeros_like(soft.values) if soft.with_gradient else None
        for block, differences, above, ranks in soft.ranked(some):
            cost, slope = rank_cost(ranks, *(column[block.lists, block.rows] for column in placed))
            costs[block.lists].add_(cost.sum(-1))
            if gradient is not None:
                slopes = soft.derivatives(block, differences, above, slope)
                gradient[block.lists, block.cols].add_(slopes.sum(1))
                gradient[block.lists, block.rows].sub_(slopes.sum(2))
        return costs, gradient

    costs, gradient = over_parts(sums, soft.blocks, soft.values.device)
    assert costs is not None
    return costs, None if gradient is None else soft.unsorted(gradient)


def relaxed_ranks(scores: Tensor, wanted: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """[lists, docs] relaxed ranks of the ``wanted`` documents, without gradient; the arguments are those of ``rank_sums``."""
    values = lowered(scores, mask)
    ranks = compiled_ranks(values, temperature)
    if ranks is not None:
        return ranks
    soft = SoftRanks(values, wanted, mask, temperature, with_gradient=False)

    def ranked(some: Sequence[Block]) -> tuple[Tensor]:
        placed = torch.zeros_like(soft.values)
        for block, _, _, ranks in soft.ranked(some):
            placed[block.lists, block.rows] = ranks
        return (placed,)

    (placed,) = over_parts(ranked, soft.blocks, soft.values.device)
    assert placed is not None
    # each rank is at least 1: what is still 0 was not asked for
    return soft.unsorted(placed.masked_fill_(placed == 0, torch.inf))
