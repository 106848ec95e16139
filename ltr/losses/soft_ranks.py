"""Ranks that move smoothly with the scores: sums of sigmoids, computed block by block with their gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ltr.losses.blocks import Block, blocks, pairs_at_once

#: stands for the score of a masked document: so low that no real document ever feels it
NOWHERE = -1e30


class SoftRanks:
    """Relaxed ranks of some documents among all of their list, block by block, and the gradient through them.

    ``rᵢ = 1 + Σ_{j ≠ i} σ((ŝⱼ − ŝᵢ)/τ)``: each document adds to the rank of another the probability of being above it.

    Args:
        scores: [lists, docs] finite.
        labels: [lists, docs] by which the documents are sorted, highest first.
        wanted: [lists, docs] bool, whose ranks are asked for: documents whose labels lie above those of all others.
            Masked ones among them do not count.
        mask: [lists, docs] True where there is a document.
        temperature: τ > 0, in units of score.

    Attributes:
        wanted: as given, in sorted order.
        keys: [lists, docs] sorted labels, −∞ where there is no document.
        count: [lists] number of documents.
    """

    def __init__(self, scores: Tensor, labels: Tensor, wanted: Tensor, mask: Tensor, temperature: float):
        self.temperature = temperature
        self.keys, self.places = torch.where(mask, labels, -torch.inf).sort(dim=-1, descending=True, stable=True)
        self.values = torch.where(mask, scores.detach() / temperature, NOWHERE).gather(-1, self.places)
        above = (mask & wanted).sum(-1, keepdim=True)
        self.count = mask.sum(-1)
        self.wanted = torch.arange(mask.shape[-1], device=mask.device) < above
        # the rows of documents whose ranks nobody asks for are empty
        self.first = torch.where(self.wanted, 0, self.count[:, None])
        self.gradient = torch.zeros_like(self.values)

    def sorted(self, values: Tensor) -> Tensor:
        """[lists, docs] values in the order that the blocks speak of."""
        return values.gather(-1, self.places)

    def __iter__(self) -> Iterator[tuple[Block, Tensor, Tensor]]:
        """(block, [lists, rows, docs] how far each column is above each row, [lists, rows] relaxed ranks)."""
        for block in blocks(self.first, self.count, pairs_at_once(self.values)):
            gaps = self.values[block.lists, None, block.cols] - self.values[block.lists, block.rows, None]
            yield block, gaps, gaps.sigmoid().sum(2).add_(0.5)  # a document is above itself with probability 1/2

    def pull(self, block: Block, gaps: Tensor, slope: Tensor) -> None:
        """Add to the gradient what ``slope`` [lists, rows], the derivative by each rank, means for the scores."""
        # σ(x) σ(−x), not p (1 − p): the digits that saturated pairs leave are all that pulls on them
        steep = gaps.sigmoid().mul_(gaps.neg_().sigmoid_())
        steep.diagonal(block.rows.start, 1, 2).zero_()
        steep.mul_((slope / self.temperature)[:, :, None])
        self.gradient[block.lists, block.cols] += steep.sum(1)
        self.gradient[block.lists, block.rows] -= steep.sum(2)

    def unsorted_gradient(self) -> Tensor:
        """[lists, docs] the gradient towards the scores, in the order in which they came."""
        return torch.empty_like(self.gradient).scatter_(-1, self.places, self.gradient)
