"""Batches of texts: query and document read together, or each for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from ltr.batch.lists import Lists, ids_of, tensor_of
from ltr.batch.passage_pooling import PASSAGES
from ltr.batch.tokens import TokenRows, check_offsets
from ltr.errors import ShapeError

QUERY_TO_DOC = ("query_to_doc",)
#: what in-batch training may compare: a query with documents; beside that with other queries, and its relevant document with
#: other queries and with other documents
DIRECTIONS = (*QUERY_TO_DOC, "query_to_query", "doc_to_query", "doc_to_doc")


@dataclass
class TextLists(Lists):
    """Lists of documents that are read together with their query: the batch of cross-encoders.

    A row holds the tokens of [CLS] query [SEP] document [SEP] (or what the tokenizer's pair form is), or of a passage of
    the document.

    Attributes:
        tokens: the rows.
    """

    tokens: TokenRows = field(default_factory=TokenRows)

    @property
    def n_rows(self) -> int:
        return len(self.tokens)

    @property
    def size(self) -> int:
        return self.tokens.ids.numel()

    @property
    def lengths(self) -> Tensor:
        """[rows] int64, tokens of each row."""
        return self.tokens.lengths

    @classmethod
    def of(
        cls,
        input_ids: np.ndarray,
        segment_ids: np.ndarray,
        offsets: np.ndarray,
        list_offsets: np.ndarray,
        labels: np.ndarray | None = None,
        query_ids: Sequence[str] = (),
        doc_ids: Sequence[str] = (),
        passage_offsets: np.ndarray | None = None,
        pooling: str = "max",
    ) -> TextLists:
        """From numpy arrays.

        Args:
            input_ids: [tokens] of all rows.
            segment_ids: [tokens].
            offsets: [rows + 1] where each row's tokens start.
            list_offsets: [lists + 1] of documents.
            labels: [documents].
            query_ids: one per list.
            doc_ids: one per document.
            passage_offsets: [documents + 1] which rows are a document's passages; None: each row is a document.
            pooling: what a document's score is made of its passages' scores, ``max`` or ``mean``.

        >>> ids, segments = np.array([101, 7, 102]), np.array([0, 0, 0])
        >>> TextLists.of(ids, segments, np.array([0, 3]), np.array([0, 1])).lengths
        tensor([3])

        Raises:
            ShapeError: offsets that do not rise from 0, a document without a passage, documents of the lists that are not
                those that are encoded, or labels that are not one per document.
        """
        if pooling not in PASSAGES[1:]:
            raise ShapeError(f"TextLists: pooling must be one of {', '.join(PASSAGES[1:])}, got {pooling!r}")
        tokens = TokenRows.of(input_ids, segment_ids, offsets)
        check_offsets("TextLists", "list_offsets", list_offsets)
        if passage_offsets is not None:
            check_offsets("TextLists", "passage_offsets", passage_offsets, least=1)
        n_docs = len(tokens) if passage_offsets is None else len(passage_offsets) - 1
        if passage_offsets is not None and int(passage_offsets[-1]) != len(tokens):
            raise ShapeError(
                f"TextLists: {len(tokens)} passages are encoded, but the documents have {int(passage_offsets[-1])}"
            )
        if int(list_offsets[-1]) != n_docs or (labels is not None and len(labels) != n_docs):
            given = "no" if labels is None else len(labels)
            raise ShapeError(
                f"TextLists: {n_docs} documents are encoded, but the lists hold {int(list_offsets[-1])}, with {given} labels"
            )
        offsets_of_lists = tensor_of(list_offsets, np.int64)
        assert offsets_of_lists is not None
        return cls(
            list_offsets=offsets_of_lists,
            labels=tensor_of(labels, np.float32),
            query_ids=ids_of(query_ids),
            doc_ids=ids_of(doc_ids),
            tokens=tokens,
            row_offsets=tensor_of(passage_offsets, np.int64),
            pooling=pooling,
        )


@dataclass
class TwinLists(Lists):
    """Lists of documents that are read apart from their query: the batch of bi-encoders.

    Attributes:
        queries: the queries' tokens, a row for each list.
        docs: the documents' tokens; lists share documents by naming the same row (``rows``).
        keys: [rows] int64, a number for each document that it has in every process of a training; None where lists are
            scored by themselves.
        relevant: [...] int64, the keys of all documents that are known to be relevant to a query, list by list.
        relevant_offsets: [lists + 1]; those of list i are ``relevant[relevant_offsets[i]:relevant_offsets[i + 1]]``.
        in_batch: the documents of all lists, those of other processes too, are negatives of every list in training, except
            those that are known to be relevant to its query. Then ``keys`` and ``relevant`` are needed.
        directions: of ``DIRECTIONS``, what is compared then.
    """

    queries: TokenRows = field(default_factory=TokenRows)
    docs: TokenRows = field(default_factory=TokenRows)
    keys: Tensor | None = None
    relevant: Tensor | None = None
    relevant_offsets: Tensor | None = None
    in_batch: bool = False
    directions: tuple[str, ...] = QUERY_TO_DOC

    @property
    def n_rows(self) -> int:
        return len(self.docs)

    @property
    def size(self) -> int:
        return self.queries.ids.numel() + self.docs.ids.numel()
