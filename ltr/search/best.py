"""The best documents of queries so far, as blocks of documents are looked through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Best:
    """The best documents of queries.

    Attributes:
        rows: [queries, k] int64 row of each document, best first, in trec_eval's order; -1 behind the last.
        scores: [queries, k] float32; -inf behind the last.
    """

    rows: np.ndarray
    scores: np.ndarray


class Kept:
    """What is best so far of each query.

    Args:
        n_queries: how many.
        k: documents per query; where there are fewer, all.
        n_rows: documents in all.
        place: [rows] the place of each in the order of ties; the row itself where None.
    """

    def __init__(self, n_queries: int, k: int, n_rows: int, place: np.ndarray | None):
        self.k, self.place = min(k, n_rows), place
        self.rows = np.full((n_queries, self.k), -1, np.int64)
        self.scores = np.full((n_queries, self.k), -np.inf, np.float32)

    @property
    def floor(self) -> np.ndarray:
        """[queries] float64: whoever scores less is not among the best k."""
        full = np.full(len(self.rows), -np.inf)
        return self.scores[:, -1].astype(np.float64) if self.k else full

    @property
    def best(self) -> Best:
        """What is there."""
        return Best(self.rows, self.scores)

    def keep(self, owners: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> None:
        """Take the best k of each query among what is there and more.

        Args:
            owners: [candidates] whose candidate.
            rows: [candidates] its row, which is not among the best yet.
            scores: [candidates] float32.
        """
        if not len(owners):
            return
        own = np.unique(owners)
        kept = self.rows[own].ravel() >= 0
        owner = np.concatenate([owners, np.repeat(own, self.k)[kept]])
        rows = np.concatenate([rows, self.rows[own].ravel()[kept]])
        scores = np.concatenate([scores, self.scores[own].ravel()[kept]])
        order = np.lexsort((rows if self.place is None else self.place[rows], -scores, owner))
        owner, rows, scores = owner[order], rows[order], scores[order]
        rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
        best = rank < self.k
        self.rows[owner[best], rank[best]] = rows[best]
        self.scores[owner[best], rank[best]] = scores[best]
