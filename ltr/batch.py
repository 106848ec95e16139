"""The one contract between data, scorers and training: ragged lists of encoded documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ltr.errors import ConfigError, ShapeError

Self = TypeVar("Self", bound="Lists")

#: how a document is scored that is longer than the model's window
PASSAGES = ("first", "max", "mean")


@dataclass
class Lists:
    """What all batches have: documents in lists, without padding.

    Attributes:
        list_offsets: [lists + 1] int64; the documents of list i are ``list_offsets[i]:list_offsets[i + 1]``.
        labels: [documents] float32, or None when nothing is known about them.
        weights: [lists] float32 importance of each list, or [lists, docs] of each document for pointwise losses; None
            for 1.
        query_ids: one per list.
        doc_ids: one per document, in list order.
    """

    list_offsets: Tensor
    labels: Tensor | None = None
    weights: Tensor | None = None
    query_ids: list[str] = field(default_factory=list)
    doc_ids: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of lists."""
        return self.list_offsets.numel() - 1

    @property
    def n_docs(self) -> int:
        """Number of documents in all lists."""
        return int(self.list_offsets[-1])

    @property
    def mask(self) -> Tensor:
        """[lists, docs] bool, True where there is a document."""
        sizes = self.list_offsets.diff()
        longest = int(sizes.max()) if len(self) else 0
        return torch.arange(longest, device=sizes.device) < sizes[:, None]

    def pad(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Spread flat per-document values [documents] over [lists, docs], with ``fill`` where no document is.

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

    def to(self: Self, device: torch.device | str, **kwargs) -> Self:
        """The same batch with its tensors on ``device``."""
        return self._map(lambda t: t.to(device, **kwargs))

    def pin_memory(self: Self) -> Self:
        """The same batch with its tensors in page-locked memory."""
        return self._map(Tensor.pin_memory)

    def _map(self: Self, move) -> Self:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{k: move(v) if isinstance(v, Tensor) else v for k, v in values.items()})


@dataclass
class TextLists(Lists):
    """Lists of encoded texts: one flat token stream, each document with its full encoding.

    A document's tokens are those of [CLS] query [SEP] document [SEP] (or what the tokenizer's pair form is).

    Attributes:
        input_ids: [tokens] int64 token ids of all documents, one after the other.
        segment_ids: [tokens] int64 token types (0 query part, 1 document part where the tokenizer tells them apart).
        doc_offsets: [documents + 1] int64; the tokens of document j are ``doc_offsets[j]:doc_offsets[j + 1]``.
    """

    input_ids: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    segment_ids: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    doc_offsets: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))

    @property
    def lengths(self) -> Tensor:
        """[documents] int64, tokens of each document."""
        return self.doc_offsets.diff()

    @classmethod
    def of(
        cls,
        input_ids: np.ndarray,
        segment_ids: np.ndarray,
        doc_offsets: np.ndarray,
        list_offsets: np.ndarray,
        labels: np.ndarray | None = None,
        query_ids: Sequence[str] = (),
        doc_ids: Sequence[str] = (),
    ) -> TextLists:
        """From numpy arrays.

        >>> ids, segments = np.array([101, 7, 102]), np.array([0, 0, 0])
        >>> TextLists.of(ids, segments, np.array([0, 3]), np.array([0, 1])).lengths
        tensor([3])

        Raises:
            ShapeError: the documents of the lists are not those that are encoded, or labels are not one per document.
        """
        n_docs = len(doc_offsets) - 1
        if int(list_offsets[-1]) != n_docs or (labels is not None and len(labels) != n_docs):
            given = "no" if labels is None else len(labels)
            raise ShapeError(
                f"TextLists: {n_docs} documents are encoded, but the lists hold {int(list_offsets[-1])}, with {given} labels"
            )
        return cls(
            list_offsets=torch.from_numpy(np.ascontiguousarray(list_offsets, np.int64)),
            labels=None if labels is None else torch.from_numpy(np.ascontiguousarray(labels, np.float32)),
            query_ids=list(query_ids),
            doc_ids=list(doc_ids),
            input_ids=torch.from_numpy(np.ascontiguousarray(input_ids, np.int64)),
            segment_ids=torch.from_numpy(np.ascontiguousarray(segment_ids, np.int64)),
            doc_offsets=torch.from_numpy(np.ascontiguousarray(doc_offsets, np.int64)),
        )


@dataclass
class PassageLists(TextLists):
    """Lists of documents that are read in passages, each with an encoding of its own.

    ``input_ids``, ``segment_ids`` and ``doc_offsets`` are those of the passages, one after the other; whatever else a
    batch has belongs to the documents.

    Attributes:
        passage_offsets: [documents + 1] int64; the passages of document j are
            ``passage_offsets[j]:passage_offsets[j + 1]``, at least one.
        pooling: what a document's score is made of its passages' scores: their ``max`` or their ``mean``.
    """

    passage_offsets: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))
    pooling: str = "max"

    @classmethod
    def of_passages(
        cls,
        input_ids: np.ndarray,
        segment_ids: np.ndarray,
        doc_offsets: np.ndarray,
        passage_offsets: np.ndarray,
        list_offsets: np.ndarray,
        pooling: str,
        labels: np.ndarray | None = None,
        query_ids: Sequence[str] = (),
        doc_ids: Sequence[str] = (),
    ) -> PassageLists:
        """From numpy arrays; the labels are the documents'.

        Raises:
            ShapeError: the passages of the documents are not those that are encoded, the documents of the lists not those
                that have passages, or labels are not one per document.
        """
        n_docs = len(passage_offsets) - 1
        if int(list_offsets[-1]) != n_docs or (labels is not None and len(labels) != n_docs):
            given = "no" if labels is None else len(labels)
            raise ShapeError(
                f"PassageLists: {n_docs} documents have passages, but the lists hold {int(list_offsets[-1])}, with {given} "
                "labels"
            )
        passages = TextLists.of(input_ids, segment_ids, doc_offsets, passage_offsets)
        return cls(
            list_offsets=torch.from_numpy(np.ascontiguousarray(list_offsets, np.int64)),
            labels=None if labels is None else torch.from_numpy(np.ascontiguousarray(labels, np.float32)),
            query_ids=list(query_ids),
            doc_ids=list(doc_ids),
            input_ids=passages.input_ids,
            segment_ids=passages.segment_ids,
            doc_offsets=passages.doc_offsets,
            passage_offsets=passages.list_offsets,
            pooling=pooling,
        )

    def as_documents(self) -> TextLists:
        """The passages as if each were a document, for a scorer to score."""
        return TextLists(
            self.passage_offsets[self.list_offsets],
            query_ids=self.query_ids,
            input_ids=self.input_ids,
            segment_ids=self.segment_ids,
            doc_offsets=self.doc_offsets,
        )

    def pooled(self, scores: Tensor) -> Tensor:
        """Scores [lists, docs] of the documents, from those of ``as_documents()``.

        A document with a score that is not a number among its passages' has none itself.

        >>> batch = PassageLists(torch.tensor([0, 2]), passage_offsets=torch.tensor([0, 1, 3]), pooling="mean")
        >>> batch.pooled(torch.tensor([[5.0, 1.0, 2.0]]))
        tensor([[5.0000, 1.5000]])
        """
        if not self.n_docs:  # segment_reduce refuses to reduce nothing
            return self.pad(scores.new_zeros(0))
        flat = scores[self.as_documents().mask]
        return self.pad(torch.segment_reduce(flat, self.pooling, lengths=self.passage_offsets.diff()))


def check_passages(who: str, passages: str, stride: int | None, max_passages: int | None) -> None:
    """Raise ConfigError, in the name of ``who``, where settings of passages cannot work or would be of no use."""
    if passages not in PASSAGES:
        raise ConfigError(f"{who}: passages must be first, max or mean, got {passages!r}")
    for name, value in (("stride", stride), ("max_passages", max_passages)):
        if value is not None and value < 1:
            raise ConfigError(f"{who}: {name} must be at least 1, got {value}")
        if value is not None and passages == "first":
            raise ConfigError(
                f"{who}: {name} is for documents that are read in passages, and passages is first, which reads their "
                f"beginning alone; set passages to max or mean, or leave {name} out (got {value})"
            )


@dataclass
class FeatureLists(Lists):
    """Lists of documents that are described by numbers.

    Attributes:
        features: [documents, features] float32, the documents of all lists one after the other.
    """

    features: Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    @property
    def n_features(self) -> int:
        """Numbers that describe a document."""
        return self.features.shape[1]

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        list_offsets: np.ndarray,
        labels: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        query_ids: Sequence[str] = (),
        doc_ids: Sequence[str] = (),
    ) -> FeatureLists:
        """From numpy arrays; weights are one per list, or one per document (then kept as [lists, docs]).

        >>> batch = FeatureLists.of(np.eye(3), np.array([0, 2, 3]), weights=np.array([1.0, 2.0, 5.0]))
        >>> len(batch), batch.n_features, batch.weights.tolist()
        (2, 3, [[1.0, 2.0], [5.0, 0.0]])

        Raises:
            ShapeError: features are no matrix with a row for each document of the lists, labels are not one per
                document, or weights neither one per list nor one per document.
        """
        n_docs, n_lists = int(list_offsets[-1]), len(list_offsets) - 1
        if features.ndim != 2 or len(features) != n_docs:
            raise ShapeError(
                f"FeatureLists: features must be [documents, features] with {n_docs} documents, as the lists hold, "
                f"got {list(features.shape)}"
            )
        if labels is not None and labels.shape != (n_docs,):
            raise ShapeError(f"FeatureLists: labels must be [{n_docs}], one per document, got {list(labels.shape)}")
        if weights is not None and weights.shape not in ((n_lists,), (n_docs,)):
            raise ShapeError(
                f"FeatureLists: weights must be one per list [{n_lists}] or per document [{n_docs}], "
                f"got {list(weights.shape)}"
            )
        made = cls(
            list_offsets=torch.from_numpy(np.require(list_offsets, np.int64, ["C", "W"])),
            labels=None if labels is None else torch.from_numpy(np.require(labels, np.float32, ["C", "W"])),
            query_ids=list(query_ids),
            doc_ids=list(doc_ids),
            features=torch.from_numpy(np.require(features, np.float32, ["C", "W"])),
        )
        if weights is not None:
            flat = torch.from_numpy(np.require(weights, np.float32, ["C", "W"]))
            made.weights = flat if len(flat) == n_lists else made.pad(flat)
        return made
