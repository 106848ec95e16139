"""Ranks that move smoothly with the scores: sums of sigmoids, computed block by block with their gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ltr.losses.engines.blocks import Block, attached, blocks, fits, pairs_at_once
from ltr.losses.engines.compiled import compiled_rank_sums, compiled_ranks
from ltr.losses.engines.whole import Pay, lowered, whole_rank_sums


class SoftRanks:
    """Relaxed ranks of some documents among all of their list, block by block, and what pulls on them.

    ``rᵢ = 1 + Σ_{j ≠ i} σ((ŝⱼ − ŝᵢ)/τ)``: each document adds to the rank of another the probability of being above it.

    Args:
        scores: [lists, docs] lowered (``whole.lowered``).
        wanted: [lists, docs] bool, whose ranks are asked for; masked documents among them do not count.
        mask: [lists, docs] True where there is a document.
        temperature: τ > 0, in units of score.
        steep: whether ``steepness`` will be asked for; without it blocks take half the memory.
    """

    def __init__(self, scores: Tensor, wanted: Tensor, mask: Tensor, temperature: float, steep: bool = True):
        self.temperature, self.steep = temperature, steep
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

    def __iter__(self) -> Iterator[tuple[Block, Tensor, Tensor, Tensor]]:
        """(block, [lists, rows, docs] gaps over τ, how far each column is above each row, σ(gaps), [lists, rows] relaxed ranks)."""
        for block in blocks(self.first, self.count, pairs_at_once(self.values)):
            gaps = self.values[block.lists, None, block.cols] - self.values[block.lists, block.rows, None]
            if self.temperature != 1:
                gaps.mul_(1 / self.temperature)
            above = gaps.sigmoid() if self.steep else gaps.sigmoid_()
            yield block, gaps, above, above.sum(2).add_(0.5)  # a document is above itself with probability 1/2

    def steepness(self, block: Block, gaps: Tensor, above: Tensor, slope: Tensor) -> Tensor:
        """[lists, rows, docs] how ``slope`` [lists, rows], the derivative by each rank, pulls columns up and rows down.

        Overwrites the gaps.
        """
        # σ(x) σ(−x), not p (1 − p): the digits that saturated pairs leave are all that pulls on them
        steep = gaps.neg_().sigmoid_().mul_(above)
        steep.diagonal(block.rows.start, 1, 2).zero_()
        return steep.mul_((slope / self.temperature)[:, :, None])


def rank_sums(
    pay: Pay,
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
        pay: (relaxed ranks, columns at the same documents) -> costs and their derivatives by the ranks.
        columns: [lists, docs] numbers that ``pay`` is made from; with them it must cost nothing where ``wanted`` or
            ``mask`` is False.
        scores, wanted, mask, temperature: as for ``SoftRanks``; short lists get the ranks of all documents.
        start: the cost of a list before its documents.
        keep: [lists] bool, which lists cost anything (default: all); the gradients of others must be 0 by themselves.
    """
    with torch.no_grad():
        values = lowered(scores, mask)
        if fits(scores):
            costs, gradient = whole_rank_sums(pay, columns, values, temperature, scores.requires_grad)
        else:
            found = compiled_rank_sums(pay, columns, values, temperature, scores.requires_grad)
            costs, gradient = found or _sums(
                pay, columns, SoftRanks(values, wanted, mask, temperature, scores.requires_grad)
            )
        if start:
            costs.add_(start)
        if keep is not None:
            costs.mul_(keep)
    return costs if gradient is None else attached(scores, costs, gradient)


def _sums(pay: Pay, columns: tuple[Tensor, ...], soft: SoftRanks) -> tuple[Tensor, Tensor | None]:
    """Costs and, with steep ranks, the gradient, block by block."""
    placed = [soft.sorted(column) for column in columns]
    costs = soft.values.new_zeros(len(soft.values))
    gradient = torch.zeros_like(soft.values) if soft.steep else None
    for block, gaps, above, ranks in soft:
        cost, slope = pay(ranks, *(column[block.lists, block.rows] for column in placed))
        costs[block.lists].add_(cost.sum(-1))
        if gradient is not None:
            steep = soft.steepness(block, gaps, above, slope)
            gradient[block.lists, block.cols].add_(steep.sum(1))
            gradient[block.lists, block.rows].sub_(steep.sum(2))
    return costs, None if gradient is None else soft.unsorted(gradient)


def relaxed_ranks(scores: Tensor, wanted: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """[lists, docs] relaxed ranks of the ``wanted`` documents, without gradient; the arguments are those of ``rank_sums``."""
    values = lowered(scores, mask)
    ranks = compiled_ranks(values, temperature)
    if ranks is not None:
        return ranks
    soft = SoftRanks(values, wanted, mask, temperature, steep=False)
    found = torch.empty_like(soft.values).fill_(torch.inf)
    for block, _, _, ranks in soft:
        found[block.lists, block.rows] = ranks
    return soft.unsorted(found)
