"""Relaxed sorting: a list's softly sorted gains, and their gradient, one chunk of lists at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.losses.engines.blocks import pairs_at_once
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
        discounts = chunk.discounts(cutoff)
        chunk.sinkhorn(steps)
        held = chunk.right[-1] * gained[lists]
        dcg[lists] = (discounts * chunk.left[-1] * _times(chunk.matrix, held)).sum(-1)
        if gradient is not None:
            gradient[lists] = chunk.gradient(discounts, gained[lists])
    return dcg, gradient


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """[lists, rows] matrix · vector."""
    if len(matrix) == 1:
        return (matrix @ vector[:, :, None]).squeeze(-1)
    # 5 x faster than torch's batched product with one column, at 26 lists of 100
    return torch.linalg.vecdot(matrix, vector[:, None])


def _against(vector: Tensor, matrix: Tensor) -> Tensor:
    """[lists, columns] matrixᵀ · vector."""
    return (vector[:, None, :] @ matrix).squeeze(1)


class _Ordered:
    """Sums over all other documents of a list that depend on which scores are larger, by sorting: n log n, not n².

    Attributes:
        rising: [lists, docs] scores from low to high, padding last.
        before, until: [lists, docs] how many scores are smaller than a document's, and not larger.
    """

    def __init__(self, scores: Tensor, mask: Tensor):
        self.scores, self.mask = scores, mask
        self.count = mask.sum(-1, keepdim=True)
        padded = torch.where(mask, scores, torch.inf)
        rising, self.order = padded.sort(dim=-1)
        self.before = torch.searchsorted(rising, padded).clamp(max=self.count)
        self.until = torch.searchsorted(rising, padded, right=True).clamp(max=self.count)
        self.rising = rising.masked_fill(rising == torch.inf, 0)

    def below(self, values: Tensor, counts: Tensor) -> Tensor:
        """Sums of the values of the ``counts`` lowest documents of each list."""
        sums = torch.nn.functional.pad(values.gather(-1, self.order).cumsum(-1), (1, 0))
        return sums.gather(-1, counts)

    def sides(self) -> Tensor:
        """Σₖ sign(ŝⱼ − ŝₖ)."""
        return (self.before + self.until - self.count).to(self.scores)

    def spread(self) -> Tensor:
        """Σₖ |ŝⱼ − ŝₖ|."""
        real = torch.where(self.mask, self.scores, 0)
        # around the middle of the list: sums of large scores would lose the small differences
        centred = torch.where(self.mask, real - real.sum(-1, keepdim=True) / self.count.clamp(min=1), 0)
        below = self.below(centred, self.until)
        spread = centred * (2 * self.until - self.count) - 2 * below + centred.sum(-1, keepdim=True)
        return torch.where(self.mask, spread, 0)

    def signed(self, values: Tensor) -> Tensor:
        """Σₖ valuesₖ sign(ŝₖ − ŝⱼ); values are 0 at masked places."""
        return values.sum(-1, keepdim=True) - self.below(values, self.until) - self.below(values, self.before)


class _Chunk:
    """Relaxed permutations P = diag(left) · matrix · diag(right) of a few lists, rows ranks, columns documents."""

    def __init__(self, scores: Tensor, mask: Tensor, temperature: float):
        self.mask, self.temperature = mask, temperature
        # double where there is one: differences of products of scores and ranks lose the small digits
        wide = torch.float32 if scores.device.type == "mps" else torch.float64
        self.ordered = ordered = _Ordered(scores.to(wide), mask)
        rank = torch.arange(1, mask.shape[-1] + 1, device=mask.device)
        self.ranked = rank <= ordered.count
        self.slant = (ordered.count + 1 - 2 * rank).to(wide)
        spread = ordered.spread()
        # the largest logit of a rank is that of the document which stands there: no need to look for it
        there = (ordered.count - rank).clamp(min=0)
        stands = ordered.order.gather(-1, there)
        top = self.slant * ordered.rising.gather(-1, there) - spread.gather(-1, stands)
        logits = torch.where(mask, ordered.scores, 0)[:, None, :] * (self.slant / temperature)[:, :, None]
        logits.sub_((spread / temperature)[:, None, :]).sub_((top / temperature)[:, :, None])
        # exactly: over a small temperature what rounding leaves of it is large
        matrix = logits.scatter_(2, stands[:, :, None], 0).to(scores.dtype)
        del logits
        # numbers too small to matter become 0: they slow everything down tenfold once they fall out of the normal range
        matrix.clamp_(-80, 0).exp_().sub_(1e-30).clamp_(min=0).mul_(mask[:, None, :])
        matrix.mul_(self.ranked[:, :, None]).div_(matrix.sum(-1, keepdim=True).clamp_(min=1e-30))
        self.matrix = matrix
        self.left, self.right = [self.ranked.to(matrix)], [mask.to(matrix)]

    def discounts(self, cutoff: int | None) -> Tensor:
        """[lists, ranks] what each rank pays, 0 where a list has none."""
        rank = torch.arange(1, self.mask.shape[-1] + 1, device=self.mask.device, dtype=self.matrix.dtype)
        return discount(rank, cutoff) * self.ranked

    def sinkhorn(self, steps: int) -> None:
        """Scale columns, then rows, to sums of 1, ``steps`` times; what stood on the way is kept for the gradient."""
        for _ in range(steps):
            self.right.append(_reciprocal(_against(self.left[-1], self.matrix), self.mask))
            self.left.append(_reciprocal(_times(self.matrix, self.right[-1]), self.ranked))

    def gradient(self, discounts: Tensor, gained: Tensor) -> Tensor:
        """[lists, docs] derivative of Σᵢ paidᵢ Σⱼ Pᵢⱼ gainedⱼ by the scores."""
        toward = self._matrix_gradient(discounts, gained)
        toward.sub_((toward * self.matrix).sum(-1, keepdim=True)).mul_(self.matrix).div_(self.temperature)
        by_spread = -toward.sum(1).to(self.slant)
        by_score = _against(self.slant.to(toward), toward).to(self.slant) + by_spread * self.ordered.sides()
        by_score -= self.ordered.signed(torch.where(self.mask, by_spread, 0))
        return torch.where(self.mask, by_score, 0).to(toward)

    def _matrix_gradient(self, discounts: Tensor, gained: Tensor) -> Tensor:
        """Derivative by the unscaled matrix: a sum of outer products, one or two for each Sinkhorn step."""
        left, right, matrix = self.left, self.right, self.matrix
        rows, cols = [discounts * left[-1]], [right[-1] * gained]
        by_left = discounts * _times(matrix, cols[0])
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
