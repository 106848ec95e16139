"""Several runs side by side: each of their documents once, with its scores and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ltr.errors import DataError
from ltr.io.runs import Run, as_bytes, keys


@dataclass(frozen=True, eq=False)
class Joined:
    """The documents of several runs, each (query, document) once.

    Attributes:
        query_ids: of all runs, in order of appearance.
        offsets: [queries + 1] where each query's documents are.
        doc_bytes: [documents] ids.
        held: [runs, documents] whether a run has the document.
        scores: [runs, documents] its score there, 0 where the run does not hold it.
        ranks: [runs, documents] its rank there, from 1; 0 where the run does not hold it.
    """

    query_ids: list[str]
    offsets: np.ndarray
    doc_bytes: np.ndarray
    held: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray

    @classmethod
    def of(cls, runs: Sequence[Run], scores: Sequence[np.ndarray]) -> Joined:
        """Of runs, whose [entries] scores may be others than they came with."""
        number = {q: i for i, q in enumerate(dict.fromkeys(q for run in runs for q in run))}
        query = np.concatenate([_queries(run, number) for run in runs])
        docs = as_bytes(np.concatenate([run.doc_bytes for run in runs]))
        kept, place = _distinct(docs, query)
        order = np.argsort(query[kept], kind="stable")
        place = np.argsort(order)[place]
        offsets = np.searchsorted(query[kept][order], np.arange(len(number) + 1))
        held, joined, ranks = (np.zeros((len(runs), len(kept)), kind) for kind in (bool, float, int))
        at = 0
        for i, run in enumerate(runs):
            own = place[at : at + len(run.scores)]
            held[i, own], joined[i, own] = True, scores[i]
            ranks[i, own] = 1 + np.arange(len(own)) - np.repeat(run.offsets[:-1], np.diff(run.offsets))
            at += len(own)
        return cls(list(number), offsets, docs[kept][order], held, joined, ranks)

    @cached_property
    def holders(self) -> np.ndarray:
        """[documents] how many runs hold each."""
        return self.held.sum(0)

    @cached_property
    def lengths(self) -> np.ndarray:
        """[runs, documents] how many documents each run holds of the query of each."""
        sizes = np.diff(self.offsets)
        query = np.repeat(np.arange(len(sizes)), sizes)
        return np.stack([np.bincount(query, weights=held, minlength=len(sizes))[query] for held in self.held])

    def run(self, scores: np.ndarray, name: str) -> Run:
        """All documents with these scores."""
        return Run(self.query_ids, self.offsets, self.doc_bytes, scores, name)


def _queries(run: Run, number: dict[str, int]) -> np.ndarray:
    return np.repeat(np.array([number[q] for q in run], np.int64), np.diff(run.offsets))


def _distinct(docs: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(one entry of each distinct (query, document), each entry's place among these)."""
    for seed in range(8):
        _, kept, place = np.unique(keys(docs, query, seed), return_index=True, return_inverse=True)
        one = kept[place]
        if (docs == docs[one]).all() and (query == query[one]).all():
            return kept, place
    raise DataError("interpolate: document ids collide under every hash; are they crafted to?")
