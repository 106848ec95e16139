"""Ranks that move smoothly with the scores: sums of sigmoids, computed block by block with their gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ltr.losses.blocks import Block, attached, blocks, pairs_at_once
from ltr.losses.whole import across, fits


class SoftRanks:
    """Relaxed ranks of some documents among all of their list, block by block, and what pulls on them.

    ``rᵢ = 1 + Σ_{j ≠ i} σ((ŝⱼ − ŝᵢ)/τ)``: each document adds to the rank of another the probability of being above it.

    Args:
        scores: [lists, docs] finite.
        wanted: [lists, docs] bool, whose ranks are asked for; masked documents among them do not count. Short lists
            get the ranks of all documents.
        mask: [lists, docs] True where there is a document.
        temperature: τ > 0, in units of score.
        steep: whether ``steepness`` will be asked for; without it blocks take half the memory.
    """

    def __init__(self, scores: Tensor, wanted: Tensor, mask: Tensor, temperature: float, steep: bool = True):
        self.temperature, self.steep = temperature, steep
        # nothing is below a masked document; and differences are taken before the temperature divides them, since
        # large scores over small temperatures lose the digits in which close documents differ
        values = torch.where(mask, scores.detach(), torch.finfo(scores.dtype).min)
        self.whole = fits(values)
        if self.whole:
            # one block of all pairs as they come, in memory [docs, docs, lists] as in whole.py
            self.values = across(values).t()
        else:
            # rows of documents whose ranks nobody asks for come last and are empty
            wanted = mask & wanted
            self.places = (mask.to(torch.int8) + wanted).sort(dim=-1, descending=True, stable=True).indices
            self.values = values.gather(-1, self.places)
            self.count = mask.sum(-1)
            above = torch.arange(mask.shape[-1], device=mask.device) < wanted.sum(-1, keepdim=True)
            self.first = torch.where(above, 0, self.count[:, None])

    def sorted(self, values: Tensor) -> Tensor:
        """[lists, docs] values in the order that the blocks speak of."""
        return values if self.whole else values.gather(-1, self.places)

    def unsorted(self, values: Tensor) -> Tensor:
        """[lists, docs] values in the order in which the documents came."""
        return values if self.whole else torch.empty_like(values).scatter_(-1, self.places, values)

    def __iter__(self) -> Iterator[tuple[Block, Tensor, Tensor, Tensor]]:
        """(block, [lists, rows, docs] gaps over τ, how far each column is above each row, σ(gaps), [lists, rows] relaxed ranks)."""
        if self.whole:
            lists, docs = map(slice, (0, 0), self.values.shape)
            cut = iter([Block(lists, docs, docs)] if self.values.numel() else [])
        else:
            cut = blocks(self.first, self.count, pairs_at_once(self.values))
        for block in cut:
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
    pay: Callable[..., tuple[Tensor, Tensor]],
    columns: tuple[Tensor, ...],
    scores: Tensor,
    wanted: Tensor,
    mask: Tensor,
    temperature: float,
    start: float = 0.0,
) -> Tensor:
    """[lists] ``start`` plus sums over documents of what their relaxed ranks cost, with a gradient.

    Args:
        pay: (relaxed ranks, columns at the same documents) -> costs and their derivatives by the ranks.
        columns: [lists, docs] numbers that ``pay`` is made from; with them it must cost nothing where ``wanted`` or
            ``mask`` is False.
        scores, wanted, mask, temperature: as for ``SoftRanks``.
        start: the cost of a list before its documents.
    """
    with torch.no_grad():
        soft = SoftRanks(scores, wanted, mask, temperature, scores.requires_grad)
        placed = [soft.sorted(column) for column in columns]
        costs = scores.new_full((len(scores),), start)
        gradient = torch.zeros_like(soft.values)
        for block, gaps, above, ranks in soft:
            cost, slope = pay(ranks, *(column[block.lists, block.rows] for column in placed))
            costs[block.lists].add_(cost.sum(-1))
            if scores.requires_grad:
                steep = soft.steepness(block, gaps, above, slope)
                gradient[block.lists, block.cols].add_(steep.sum(1))
                gradient[block.lists, block.rows].sub_(steep.sum(2))
        gradient = soft.unsorted(gradient)
    return attached(scores, costs, gradient) if scores.requires_grad else costs


def relaxed_ranks(scores: Tensor, wanted: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """[lists, docs] relaxed ranks of the ``wanted`` documents, without gradient; the arguments are those of ``SoftRanks``."""
    soft = SoftRanks(scores, wanted, mask, temperature, steep=False)
    found = torch.empty_like(soft.values).fill_(torch.inf)
    for block, _, _, ranks in soft:
        found[block.lists, block.rows] = ranks
    return soft.unsorted(found)
