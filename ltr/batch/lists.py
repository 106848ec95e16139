"""Lists of documents, whatever a document is made of: which rows belong to which entry of which list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ltr.batch.passage_pooling import pooled_passages
from ltr.batch.tokens import TokenRows, joined_offsets
from ltr.errors import ShapeError

Self = TypeVar("Self", bound="Lists")


@dataclass
class Lists:
    """What all batches have: lists of entries (documents), and the rows that a scorer computes for them.

    A *row* is what a scorer computes once: the tokens of a query with a document, of a document alone, of a passage; the
    numbers that describe a document. An *entry* is a document in a list, with its label and its score. As a rule entry j
    is row j. Where documents are shared by lists, several entries name one row (``rows``); where a document is read in
    passages, an entry has several rows, whose scores are pooled into its own (``row_offsets``, ``pooling``).

    Attributes:
        list_offsets: [lists + 1] int64; the entries of list i are ``list_offsets[i]:list_offsets[i + 1]``.
        labels: [entries] float32, or None when nothing is known about them.
        weights: [lists] float32 importance of each list, or [lists, docs] of each document for pointwise losses; None
            for 1.
        query_ids: one per list.
        doc_ids: one per entry, in list order.
        prior: [entries] float32 scores that were there before, from a first stage or a reference model; None for none.
        rows: int64 row of each place; None: place i is row i.
        row_offsets: [entries + 1] int64; the places of entry j are ``row_offsets[j]:row_offsets[j + 1]``, at least one;
            None: one place for each entry.
        pooling: what an entry's score is made of its rows' scores: their ``max`` or their ``mean``.
    """

    list_offsets: Tensor
    labels: Tensor | None = None
    weights: Tensor | None = None
    query_ids: list[str] = field(default_factory=list)
    doc_ids: list[str] = field(default_factory=list)
    prior: Tensor | None = field(default=None, kw_only=True)
    rows: Tensor | None = field(default=None, kw_only=True)
    row_offsets: Tensor | None = field(default=None, kw_only=True)
    pooling: str = field(default="max", kw_only=True)

    def __len__(self) -> int:
        """Number of lists."""
        return self.list_offsets.numel() - 1

    @property
    def n_docs(self) -> int:
        """Number of entries (documents) in all lists."""
        return int(self.list_offsets[-1])

    @property
    def n_rows(self) -> int:
        """Number of rows that a scorer computes."""
        return self.n_docs

    @property
    def size(self) -> int:
        """How much work a batch is, for putting batches together: its tokens, or its rows where it has none."""
        return self.n_rows

    @property
    def mask(self) -> Tensor:
        """[lists, docs] bool, True where there is a document."""
        sizes = self.list_offsets.diff()
        longest = int(sizes.max()) if len(self) else 0
        return torch.arange(longest, device=sizes.device) < sizes[:, None]

    def pad(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Spread flat values [entries] over [lists, docs], with ``fill`` where no document is.

        >>> Lists(torch.tensor([0, 2, 3])).pad(torch.tensor([5.0, 6.0, 7.0]))
        tensor([[5., 6.],
                [7., 0.]])
        """
        if values.shape != (self.n_docs,):
            raise ShapeError(
                f"pad: values must be flat, one per document ({self.n_docs}), got shape {tuple(values.shape)}"
            )
        mask = self.mask
        return values.new_full(mask.shape, fill).masked_scatter(mask, values)

    def placed(self, values: Tensor) -> Tensor:
        """[places, ...] what belongs to the rows [rows, ...], once for each time that an entry names the row.

        >>> shared = Lists(torch.tensor([0, 2, 4]), rows=torch.tensor([0, 1, 1, 0]))
        >>> shared.placed(torch.tensor([5.0, 6.0])).tolist()
        [5.0, 6.0, 6.0, 5.0]
        """
        return values if self.rows is None else values[self.rows]

    def pooled(self, values: Tensor) -> Tensor:
        """[entries] values from those of the places: those of an entry's rows become one.

        An entry with a row whose value is not a number has none itself.
        """
        return values if self.row_offsets is None else pooled_passages(values, self.row_offsets, self.pooling)

    def scores(self, values: Tensor) -> Tensor:
        """Scores [lists, docs] from the rows' [rows], what a scorer returns; 0 where no document is.

        >>> passages = Lists(torch.tensor([0, 2]), row_offsets=torch.tensor([0, 1, 3]), pooling="mean")
        >>> passages.scores(torch.tensor([5.0, 1.0, 2.0]))
        tensor([[5.0000, 1.5000]])
        """
        return self.pad(self.pooled(self.placed(values)))

    def to(self: Self, device: torch.device | str, **kwargs) -> Self:
        """The same batch with its tensors on ``device``."""
        return self._map(lambda t: t.to(device, **kwargs))

    def pin_memory(self: Self) -> Self:
        """The same batch with its tensors in page-locked memory."""
        return self._map(Tensor.pin_memory)

    def unlabelled(self: Self) -> Self:
        """The same lists to be scored alone: labels and weights are left behind."""
        return replace(self, labels=None, weights=None)

    @classmethod
    def cat(cls: type[Self], batches: Sequence[Self]) -> Self:
        """One batch with the lists of several, in order; labels and weights, which scoring does not need, are left behind.

        Raises:
            ShapeError: no batch, or batches of different kinds, poolings, or with and without ``prior``.
        """
        if not batches or len({(type(b), b.pooling, b.prior is None) for b in batches}) != 1:
            kinds = sorted({f"{type(b).__name__} ({b.pooling})" for b in batches})
            raise ShapeError(f"cat: batches must be of one kind and pooling, with or without prior, got {kinds}")
        if len(batches) == 1:
            return batches[0].unlabelled()
        if any(b.rows is not None or b.row_offsets is not None for b in batches):
            batches = [b._explicit() for b in batches]
        first = batches[0].unlabelled()
        joined: dict[str, Any] = {}
        for one in fields(first):
            parts = [getattr(b, one.name) for b in batches]
            if one.name == "rows" and parts[0] is not None:
                before = np.cumsum([0, *(b.n_rows for b in batches[:-1])]).tolist()
                joined["rows"] = torch.cat([part + n for part, n in zip(parts, before, strict=True)])
            elif isinstance(getattr(first, one.name), (Tensor, TokenRows, list)):
                joined[one.name] = _joined(one.name, parts)
        return replace(first, **joined)

    def _explicit(self: Self) -> Self:
        """With ``rows`` and ``row_offsets`` written out."""
        device = self.list_offsets.device
        ends = torch.arange(self.n_docs + 1, device=device) if self.row_offsets is None else self.row_offsets
        rows = torch.arange(int(ends[-1]), device=device) if self.rows is None else self.rows
        return replace(self, rows=rows, row_offsets=ends)

    def _map(self: Self, move: Callable[[Tensor], Tensor]) -> Self:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{name: _moved(value, move) for name, value in values.items()})


def _moved(value: Any, move: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, TokenRows):
        return value.map(move)
    return move(value) if isinstance(value, Tensor) else value


def _joined(name: str, parts: list[Any]) -> Any:
    if isinstance(parts[0], TokenRows):
        return TokenRows.cat(parts)
    if isinstance(parts[0], list):
        return [one for part in parts for one in part]
    return joined_offsets(parts) if name.endswith("_offsets") else torch.cat(parts)


def ids_of(ids: Sequence[Any]) -> list[str]:
    """Ids as texts; those that are numbers become texts, as in runs and judgements."""
    return list(ids) if not len(ids) or isinstance(ids[0], str) else [str(one) for one in ids]


def tensor_of(values: np.ndarray | None, dtype: type) -> Tensor | None:
    """A tensor of an array that may be written to; None for None."""
    return None if values is None else torch.from_numpy(np.require(values, dtype, ["C", "W"]))
