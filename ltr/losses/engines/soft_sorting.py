"""Relaxed sorting: a list's softly sorted gains, and their gradient, some lists or some rows of a long one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ltr.losses.engines.blocks import Sums, over_parts, pairs_at_once
from ltr.losses.gains import discount
from ltr.machine.threads import workers

#: numbers of a chunk's matrices that are kept from one pass to the next, 256 MB in float32; made anew, they take 3 x as long
KEPT = 1 << 26
#: blocks of rows that are kept are so much larger than those of pairs: most lists are one, neither cut nor put together
ROWS = 4


#: values of some rows, [lists, rows] each, and sums over these rows, [lists, docs] each
RowsAndSums = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


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
    chunks = [slice(low, low + at_once) for low in range(0, len(scores) if scores.shape[-1] else 0, at_once)]

    def compute(some: Sequence[slice]) -> tuple[()]:
        for lists in some:
            chunk = _Chunk(scores[lists], mask[lists], temperature)
            chunk.sort(steps, gained[lists], cutoff)
            dcg[lists] = chunk.dcg
            if gradient is not None:
                gradient[lists] = chunk.gradient(gained[lists])
        return ()

    if len(chunks) < workers():  # then threads share the rows of each
        compute(chunks)
    else:
        over_parts(compute, chunks, scores.device)
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
    """Relaxed permutations P = diag(left) · matrix · diag(right) of a few lists, rows ranks, columns documents.

    The matrix is made and used in blocks of rows. Blocks are kept for the next pass over them, or made anew where a long
    list's would be too large together: 21 passes for 10 Sinkhorn steps, and half of that without a gradient.

    Attributes:
        dcg: [lists] what ``sort`` finds.
    """

    def __init__(self, scores: Tensor, mask: Tensor, temperature: float):
        self.mask, self.temperature, self.dtype = mask, temperature, scores.dtype
        # double where there is one: differences of products of scores and ranks lose the small digits
        wide = torch.float32 if scores.device.type == "mps" else torch.float64
        self.ordered = ordered = _Ordered(scores.to(wide), mask)
        docs = mask.shape[-1]
        rank = torch.arange(1, docs + 1, device=mask.device)
        self.ranked = rank <= ordered.count
        self.slant = (ordered.count + 1 - 2 * rank).to(wide)
        self.spread = ordered.spread()
        # the largest logit of a rank is that of the document which stands there: no need to look for it
        there = (ordered.count - rank).clamp(min=0)
        self.stands = ordered.order.gather(-1, there)
        self.top = self.slant * ordered.rising.gather(-1, there) - self.spread.gather(-1, self.stands)
        self.left, self.right = [self.ranked.to(scores)], [mask.to(scores)]
        self.kept: dict[int, Tensor] | None = {} if mask.numel() * docs <= KEPT else None
        at_once = pairs_at_once(scores) * (1 if self.kept is None else ROWS)
        height = max(1, at_once // (len(mask) * docs))
        self.blocks = [slice(low, min(low + height, docs)) for low in range(0, docs, height)]
        #: the matrix of small lists, which every pass takes as it is
        self.whole = self.matrix(self.blocks[0]) if len(self.blocks) == 1 and self.kept is not None else None

    def matrix(self, rows: slice) -> Tensor:
        """[lists, rows, docs] some rows, each of which sums to 1; 0 where there is neither rank nor document."""
        if self.kept is not None and rows.start in self.kept:
            return self.kept[rows.start]
        temperature = self.temperature
        logits = (
            torch.where(self.mask, self.ordered.scores, 0)[:, None, :] * (self.slant[:, rows] / temperature)[:, :, None]
        )
        logits.sub_((self.spread / temperature)[:, None, :]).sub_((self.top[:, rows] / temperature)[:, :, None])
        # exactly: over a small temperature what rounding leaves of it is large
        matrix = logits.scatter_(2, self.stands[:, rows, None], 0).to(self.dtype)
        del logits
        # numbers too small to matter become 0: they slow everything down tenfold once they fall out of the normal range
        matrix.clamp_(-80, 0).exp_().sub_(1e-30).clamp_(min=0).mul_(self.mask[:, None, :])
        matrix.mul_(self.ranked[:, rows, None]).div_(matrix.sum(-1, keepdim=True).clamp_(min=1e-30))
        if self.kept is not None:
            self.kept[rows.start] = matrix
        return matrix

    def part(self, values: Tensor, rows: slice) -> Tensor:
        """[lists, rows] of values [lists, ranks]."""
        return values if len(self.blocks) == 1 else values[:, rows]

    def over(self, work: Callable[[slice, Tensor], RowsAndSums], values: int = 0) -> RowsAndSums:
        """What ``work(rows, matrix)`` gives over all blocks: values of rows put together, and sums added up.

        Threads share the blocks on a CPU.

        Args:
            work: gives so many ``values`` of rows.
            values: their number.
        """
        if len(self.blocks) == 1:
            return work(self.blocks[0], self.matrix(self.blocks[0]) if self.whole is None else self.whole)
        # made before: what a thread keeps from a block would lie in the gap that the next block's matrix needs
        placed = tuple(torch.empty_like(self.left[0]) for _ in range(values))

        def sums(some: Sequence[slice]) -> Sums:
            total: tuple[Tensor, ...] = ()
            for rows in some:
                found, parts = work(rows, self.matrix(rows))
                for whole, part in zip(placed, found, strict=True):
                    whole[:, rows] = part
                total = tuple(a.add_(b) for a, b in zip(total, parts, strict=True)) if total else parts
            return total

        return placed, over_parts(sums, self.blocks, self.mask.device)  # type: ignore[return-value]

    def sort(self, steps: int, gained: Tensor, cutoff: int | None) -> None:
        """Scale columns, then rows, to sums of 1, ``steps`` times, and add up what the ranks pay.

        What stood on the way is kept for the gradient, with the derivatives by the last ``left`` and ``right``. One pass over
        the matrix does the rows of a step and the columns of the next.
        """
        rank = torch.arange(1, self.mask.shape[-1] + 1, device=self.mask.device, dtype=self.dtype)
        self.discounts = discount(rank, cutoff) * self.ranked
        for step in range(steps):
            rows, (sums,) = self.over(self._scaled if step else self._counted, int(step > 0))
            self.left += rows
            self.right.append(_reciprocal(sums, self.mask))
        paid = partial(self._paid, self.right[-1] * gained, steps > 0)
        (left, by_left, self.row), (by_columns, self.against_row) = self.over(paid, 3)
        self.left += [left] if steps else []
        self.by_right = gained * by_columns
        self.dcg = (by_left * left).sum(-1)

    def _counted(self, rows: slice, matrix: Tensor) -> RowsAndSums:
        """The sums of columns, of rows as they are."""
        return (), (_against(self.part(self.left[0], rows), matrix),)

    def _scaled(self, rows: slice, matrix: Tensor) -> RowsAndSums:
        """Rows scaled to sums of 1, and the sums of columns."""
        left = _reciprocal(_times(matrix, self.right[-1]), self.part(self.ranked, rows))
        return (left,), (_against(left, matrix),)

    def _paid(self, held: Tensor, scales: bool, rows: slice, matrix: Tensor) -> RowsAndSums:
        """The last scales of rows, what they pay for, and derivatives by rows; what columns are paid, and theirs."""
        left = self._scaled(rows, matrix)[0][0] if scales else self.part(self.left[0], rows)
        discounts = self.part(self.discounts, rows)
        by_left = discounts * _times(matrix, held)
        row = -by_left * left**2
        return (left, by_left, row), (_against(discounts * left, matrix), _against(row, matrix))

    def gradient(self, gained: Tensor) -> Tensor:
        """[lists, docs] derivative of Σᵢ paidᵢ Σⱼ Pᵢⱼ gainedⱼ by the scores."""
        outer, inner = self._matrix_gradient(gained)
        _, (by_score, spread) = self.over(partial(self._by_score, outer, inner))
        by_spread = -spread
        by_score = by_score + by_spread * self.ordered.sides()
        by_score -= self.ordered.signed(torch.where(self.mask, by_spread, 0))
        return torch.where(self.mask, by_score, 0).to(self.dtype)

    def _by_score(self, outer: Tensor, inner: Tensor, rows: slice, matrix: Tensor) -> RowsAndSums:
        toward = self.part(outer, rows) @ inner
        toward.sub_((toward * matrix).sum(-1, keepdim=True)).mul_(matrix).div_(self.temperature)
        slant = self.part(self.slant, rows)
        return (), (_against(slant.to(toward), toward).to(slant), toward.sum(1).to(slant))

    def _matrix_gradient(self, gained: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative by the unscaled matrix: a sum of outer products, one or two for each Sinkhorn step, as two factors."""
        left, right = self.left, self.right
        outer, inner = [self.discounts * left[-1]], [right[-1] * gained]
        row, sums, by_right = self.row, self.against_row, self.by_right
        for step in range(len(left) - 1, 0, -1):
            col = (by_right + sums).neg_().mul_(right[step] ** 2)
            outer += [row, left[step - 1]]
            inner += [right[step], col]
            if step > 1:
                (row,), (sums,) = self.over(partial(self._passed, col, left[step - 1]), 1)
                by_right = torch.zeros_like(col)
        return torch.stack(outer, -1), torch.stack(inner, 1)

    def _passed(self, col: Tensor, left: Tensor, rows: slice, matrix: Tensor) -> RowsAndSums:
        """Derivatives by the rows of the step before, and by its columns."""
        row = _times(matrix, col).neg_().mul_(self.part(left, rows) ** 2)
        return (row,), (_against(row, matrix),)


def _reciprocal(sums: Tensor, where: Tensor) -> Tensor:
    """1/sums, and 0 where there is neither rank nor document."""
    return torch.where(where, 1 / torch.where(where, sums, 1), 0)
