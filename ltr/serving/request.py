"""What a client wants and what it gets, whatever the words that it uses: nothing here knows of HTTP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Request:
    """Documents to be scored for queries.

    Attributes:
        queries: texts.
        documents: the documents' texts of each query.
        model: the name that the client gave; None for none.
        max_tokens: tokens of a document that are read at most; None for as many as the model takes.
        max_length: tokens of query and document together; None as the model was trained.
        from_end: of a document that is too long its end is read, not its beginning.
        whole: refuse documents that would be cut.
        priority: smaller is earlier.
    """

    queries: tuple[str, ...]
    documents: tuple[tuple[str, ...], ...]
    model: str | None = None
    max_tokens: int | None = None
    max_length: int | None = None
    from_end: bool = False
    whole: bool = False
    priority: int = 0

    @property
    def n_docs(self) -> int:
        """Documents of all queries."""
        return sum(map(len, self.documents))

    @property
    def characters(self) -> int:
        """Characters of all texts."""
        return sum(map(len, self.queries)) + sum(len(text) for own in self.documents for text in own)


@dataclass(frozen=True)
class Result:
    """What became of a request.

    Attributes:
        model: the name of the model that computed it.
        scores: [documents] float32, what the model says, in the order of the input.
        probabilities: [documents] float64 in [0, 1], in the same order; scores that differ have different ones.
        tokens: that were computed, the query counted for each document.
        cut: [documents] bool, which of them were not read to their end.
        cut_queries: how many queries were not read to their end.
        max_query_length: tokens of a query that the model reads.
        tokenising: seconds of it.
        queueing: seconds until the first document was computed.
        computing: seconds from then on.
        weight: the first stage's weight that the model was saved with; None for none.
    """

    model: str
    scores: np.ndarray
    probabilities: np.ndarray
    tokens: int
    cut: np.ndarray
    cut_queries: int
    max_query_length: int
    tokenising: float
    queueing: float
    computing: float
    weight: float | None = None
