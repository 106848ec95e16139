"""Relaxed sorting: a list's softly sorted gains, and their gradient, one chunk of lists at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.losses.blocks import pairs_at_once
from ltr.losses.gains import discount


def relaxed_dcg(
    scores: Tensor,
    gained: Tensor,
    mask: Tensor,
    temperature: float,
    steps: int,
    cutoff: int | None,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """[lists] DCG of softly sorted lists, Σᵢ D(i) Σⱼ Pᵢⱼ Gⱼ, and its gradient [lists, docs] towards the scores.

    Args:
        scores: [lists, docs] finite everywhere.
        gained: [lists, docs] gains, 0 where there is no document.
        mask: [lists, docs] True where there is a document.
        temperature, steps, cutoff: as in ``NeuralNDCG``.
        with_gradient: whether to compute the gradient; None is returned in its place otherwise.
    """
    dcg = scores.new_zeros(len(scores))
    gradient = torch.zeros_like(scores) if with_gradient else None
    at_once = max(1, pairs_at_once(scores) // max(1, scores.shape[-1]) ** 2)
    for low in range(0, len(scores) if scores.shape[-1] else 0, at_once):
        lists = slice(low, low + at_once)
        chunk = _Chunk(scores[lists], mask[lists], temperature)
        paid = chunk.paid(cutoff)
        chunk.sinkhorn(steps)
        held = chunk.right[-1] * gained[lists]
        dcg[lists] = (paid * chunk.left[-1] * _times(chunk.matrix, held)).sum(-1)
        if gradient is not None:
            gradient[lists] = chunk.gradient(paid, gained[lists])
    return dcg, gradient


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """[lists, rows] matrix · vector."""
    return (matrix @ vector[:, :, None]).squeeze(-1)


def _against(vector: Tensor, matrix: Tensor) -> Tensor:
    """[lists, columns] matrixᵀ · vector."""
    return (vector[:, None, :] @ matrix).squeeze(1)


class _Chunk:
    """Relaxed permutations P = diag(left) · matrix · diag(right) of a few lists, rows ranks, columns documents."""

    def __init__(self, scores: Tensor, mask: Tensor, temperature: float):
        self.mask, self.temperature = mask, temperature
        count = mask.sum(-1, keepdim=True)
        rank = torch.arange(1, mask.shape[-1] + 1, device=mask.device)
        self.ranked = rank <= count
        # double where there is one: differences of products of scores and ranks lose the small digits
        wide = torch.float32 if scores.device.type == "mps" else torch.float64
        self.scores = scores.to(wide)
        self.slant = (count + 1 - 2 * rank).to(wide)
        gaps = self.scores[:, :, None] - self.scores[:, None, :]
        gaps.masked_fill_(~mask[:, None, :], 0)
        spread = gaps.abs().sum(-1)
        self.sides = gaps.sign_().sum(-1)  # Σₖ sign(ŝⱼ − ŝₖ)
        logits = torch.mul(self.slant[:, :, None], self.scores[:, None, :], out=gaps)
        logits.sub_(spread[:, None, :]).div_(temperature).masked_fill_(~mask[:, None, :], -torch.inf)
        logits.sub_(logits.amax(-1, keepdim=True).clamp_(min=torch.finfo(wide).min))
        matrix = logits.to(scores.dtype).exp_()
        del gaps, logits
        matrix.mul_(self.ranked[:, :, None]).div_(matrix.sum(-1, keepdim=True).clamp_(min=1e-30))
        self.matrix = matrix
        self.left, self.right = [self.ranked.to(matrix)], [mask.to(matrix)]

    def paid(self, cutoff: int | None) -> Tensor:
        """[lists, ranks] what each rank pays, 0 where a list has none."""
        rank = torch.arange(1, self.mask.shape[-1] + 1, device=self.mask.device, dtype=self.matrix.dtype)
        return discount(rank, cutoff) * self.ranked

    def sinkhorn(self, steps: int) -> None:
        """Scale columns, then rows, to sums of 1, ``steps`` times; what stood on the way is kept for the gradient."""
        for _ in range(steps):
            self.right.append(_reciprocal(_against(self.left[-1], self.matrix), self.mask))
            self.left.append(_reciprocal(_times(self.matrix, self.right[-1]), self.ranked))

    def gradient(self, paid: Tensor, gained: Tensor) -> Tensor:
        """[lists, docs] derivative of Σᵢ paidᵢ Σⱼ Pᵢⱼ gainedⱼ by the scores."""
        toward = self._matrix_gradient(paid, gained)
        toward.sub_((toward * self.matrix).sum(-1, keepdim=True)).mul_(self.matrix).div_(self.temperature)
        by_spread = -toward.sum(1).to(self.scores)
        by_score = _against(self.slant.to(toward), toward).to(self.scores) + by_spread * self.sides
        signs = (self.scores[:, :, None] - self.scores[:, None, :]).sign_()
        by_score -= _against(by_spread, signs)
        return torch.where(self.mask, by_score, 0).to(toward)

    def _matrix_gradient(self, paid: Tensor, gained: Tensor) -> Tensor:
        """Derivative by the unscaled matrix: a sum of outer products, one or two for each Sinkhorn step."""
        left, right, matrix = self.left, self.right, self.matrix
        rows, cols = [paid * left[-1]], [right[-1] * gained]
        by_left = paid * _times(matrix, cols[0])
        by_right = gained * _against(rows[0], matrix)
        for step in range(len(left) - 1, 0, -1):
            row = -by_left * left[step] ** 2
            rows.append(row)
            cols.append(right[step])
            col = -(by_right + _against(row, matrix)) * right[step] ** 2
            rows.append(left[step - 1])
            cols.append(col)
            by_left, by_right = _times(matrix, col), torch.zeros_like(col)
        return torch.stack(rows, -1) @ torch.stack(cols, 1)


def _reciprocal(sums: Tensor, where: Tensor) -> Tensor:
    """1/sums, and 0 where there is neither rank nor document."""
    return torch.where(where, 1 / torch.where(where, sums, 1), 0)
