"""Costs of queries against the documents of a whole batch, a few rows of scores at a time.

No matrix [queries, documents] is ever kept: a block of rows is scored, its costs and their gradient in the scores are
computed, and what they mean for queries and documents is added up, before the next block takes its place in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ltr.errors import ShapeError

#: scores of a block, about: 2 MB in float32, which stays in the cache
BLOCK = 2**19


@dataclass(frozen=True, eq=False)
class Columns:
    """Which documents of a batch are compared for each of its queries, and what is known of them.

    Every document is a column of every row, with label 0, except where more is said.

    Attributes:
        n_docs: columns.
        list_offsets: [lists + 1]; the entries of list i are ``list_offsets[i]:list_offsets[i + 1]``.
        places: [entries] int64, the column of each entry; no list names one twice.
        labels: [entries] the entries' labels.
        hidden_offsets: [lists + 1], as ``list_offsets``.
        hidden: [...] int64, columns that a list does not have: documents that are known to be relevant to it and are none
            of its entries.
    """

    n_docs: int
    list_offsets: Tensor
    places: Tensor
    labels: Tensor
    hidden_offsets: Tensor
    hidden: Tensor

    def __post_init__(self) -> None:
        sizes = {"places": (self.places, self.list_offsets), "labels": (self.labels, self.list_offsets)}
        sizes["hidden"] = self.hidden, self.hidden_offsets
        for name, (values, offsets) in sizes.items():
            if values.shape != (int(offsets[-1]),) or len(offsets) != len(self.list_offsets):
                raise ShapeError(
                    f"Columns: {name} must be one value for each of {int(offsets[-1])} entries of {len(self)} lists, got "
                    f"{list(values.shape)} with {len(offsets)} offsets"
                )
        if self.places.numel() and int(self.places.max()) >= self.n_docs:
            raise ShapeError(
                f"Columns: places must lie below {self.n_docs}, the documents, got {int(self.places.max())}"
            )

    def __len__(self) -> int:
        """Number of lists."""
        return len(self.list_offsets) - 1

    def dense(self) -> tuple[Tensor, Tensor]:
        """Labels and mask [lists, docs]."""
        shape, lists = (len(self), self.n_docs), torch.arange(len(self), device=self.places.device)
        labels = torch.zeros(shape, device=self.places.device)
        labels[lists.repeat_interleave(self.list_offsets.diff()), self.places] = self.labels.float()
        mask = torch.ones(shape, dtype=torch.bool, device=self.places.device)
        mask[lists.repeat_interleave(self.hidden_offsets.diff()), self.hidden] = False
        return labels, mask

    @cached_property
    def bounds(self) -> tuple[list[int], list[int]]:
        """Both offsets as plain numbers."""
        return self.list_offsets.tolist(), self.hidden_offsets.tolist()


@dataclass(eq=False)
class Rows:
    """A block of rows: some lists against all documents.

    Attributes:
        scores: [rows, docs]; whoever computes costs may overwrite them.
        owners: [entries] row of each entry in the block.
        places: [entries] its column.
        labels: [entries] its label.
        hidden_owners, hidden: [...] row and column of each place without a document.
    """

    scores: Tensor
    owners: Tensor
    places: Tensor
    labels: Tensor
    hidden_owners: Tensor
    hidden: Tensor

    @property
    def mask(self) -> Tensor:
        """[rows, docs] bool, False where a row does not have a column."""
        mask = torch.ones_like(self.scores, dtype=torch.bool)
        mask[self.hidden_owners, self.hidden] = False
        return mask

    @property
    def all_labels(self) -> Tensor:
        """[rows, docs] labels, 0 for documents of other lists."""
        labels = torch.zeros_like(self.scores)
        labels[self.owners, self.places] = self.labels.to(labels)
        return labels

    def sums(self, values: Tensor) -> Tensor:
        """[rows] sums of values [entries] over the entries of each row."""
        return values.new_zeros(len(self.scores)).index_add_(0, self.owners, values)


#: a block of rows -> ([rows] costs, [rows, docs] their gradients in the scores, [rows] which of them contribute)
RowCosts = Callable[[Rows], tuple[Tensor, Tensor, Tensor]]


#: [lists, dim] and [docs, dim] vectors whose products are scores
Pair = tuple[Tensor, Tensor]


def in_blocks(
    pairs: Sequence[Pair],
    columns: Columns,
    costs: RowCosts,
    shift: Tensor | None = None,
    weights: Tensor | None = None,
    block: int = BLOCK,
) -> tuple[Tensor, Tensor]:
    """(the sum of all lists' costs, the number of lists that contribute), with gradient to queries, documents and shift.

    Gradients are computed along with the costs, so that nothing but they is kept.

    Args:
        pairs: vectors whose products are scores; those of several pairs stand side by side.
        columns: what is compared.
        costs: of a block of rows.
        shift: [] what is added to all products.
        weights: [lists] by which costs are multiplied.
        block: scores at once, about.
    """
    flat = [vectors for pair in pairs for vectors in pair]
    return _RowBlocks.apply(shift, (columns, costs, weights, block), *flat)


def rows_of(pairs: Sequence[Pair], shift: Tensor | None, columns: Columns, start: int, stop: int) -> Rows:
    """The block of rows ``start`` to ``stop``."""
    several = [queries[start:stop] @ docs.T for queries, docs in pairs]
    scores = several[0] if len(several) == 1 else torch.cat(several, 1)
    if shift is not None:
        scores += shift
    parts = []
    for offsets, bounds in zip((columns.list_offsets, columns.hidden_offsets), columns.bounds, strict=True):
        owners = torch.arange(stop - start, device=scores.device).repeat_interleave(offsets[start : stop + 1].diff())
        parts.append((owners, slice(bounds[start], bounds[stop])))
    (owners, own), (hidden_owners, hidden) = parts
    return Rows(scores, owners, columns.places[own], columns.labels[own], hidden_owners, columns.hidden[hidden])


def spans(columns: Columns, block: int) -> list[tuple[int, int]]:
    """(start, stop) of blocks of rows with about so many scores."""
    step = max(1, block // max(1, columns.n_docs))
    return [(start, min(start + step, len(columns))) for start in range(0, len(columns), step)]


class _RowBlocks(torch.autograd.Function):
    """See ``in_blocks``."""

    @staticmethod
    def forward(ctx: Any, shift: Tensor | None, given: tuple, *flat: Tensor) -> tuple[Tensor, Tensor]:
        columns, costs, weights, block = given
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        gradients = [torch.empty_like(v) if at % 2 == 0 else torch.zeros_like(v) for at, v in enumerate(flat)]
        to_shift = flat[0].new_zeros(()) if shift is not None else None
        total, count = flat[0].new_zeros((), dtype=torch.float64), flat[0].new_zeros((), dtype=torch.int64)
        for start, stop in spans(columns, block):
            found, gradient, keep = costs(rows_of(pairs, shift, columns, start, stop))
            if weights is not None:
                found = found * weights[start:stop]
                gradient = gradient.mul_(weights[start:stop, None])
            total += found.sum()
            count += keep.sum()
            if to_shift is not None:
                to_shift += gradient.sum()
            parts = [gradient] if len(pairs) == 1 else gradient.split([len(docs) for _, docs in pairs], 1)
            for at, ((queries, docs), part) in enumerate(zip(pairs, parts, strict=True)):
                torch.mm(part, docs, out=gradients[2 * at][start:stop])
                gradients[2 * at + 1].addmm_(part.T, queries[start:stop])
        ctx.save_for_backward(to_shift, *gradients)
        ctx.mark_non_differentiable(count)
        return total.to(flat[0].dtype), count

    @staticmethod
    def backward(ctx: Any, outer: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        to_shift, *gradients = (None if part is None else part * outer for part in ctx.saved_tensors)
        return to_shift, None, *gradients
