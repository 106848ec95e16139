"""Judged documents of all queries with their ranks in a run: all that a measure looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ltr.errors import DataError
from ltr.io.runs import Run, as_bytes, keys, over_parts
from ltr.io.trec import Qrels


@dataclass(frozen=True, eq=False)
class JudgedRanks:
    """Where a run ranks the judged documents of all queries, flat; those of negative grade are left out.

    Attributes:
        offsets: [queries + 1]; the judged documents of query i are at ``offsets[i]:offsets[i + 1]``.
        grades: [judged] falling within a query.
        ranks: [judged] rank in the run, from 0; -1 where the run does not hold the document.
        retrieved: [queries] length of the run's list, 0 where the run lacks the query.
    """

    offsets: np.ndarray
    grades: np.ndarray
    ranks: np.ndarray
    retrieved: np.ndarray

    @classmethod
    def of(cls, run: Run, qrels: Qrels) -> JudgedRanks:
        """Look the judged documents of each query up in the run."""
        query = np.repeat(np.arange(len(qrels)), [len(docs) for docs in qrels.values()])
        grades = np.array([grade for docs in qrels.values() for grade in docs.values()], np.float64)
        docs = as_bytes([doc_id for docs in qrels.values() for doc_id in docs])
        order = np.lexsort((-grades, query))
        order = order[grades[order] >= 0]
        query, grades, docs = query[order], grades[order], docs[order]
        sizes = np.diff(run.offsets)
        number = {q: i for i, q in enumerate(qrels)}
        listed = np.array([number.get(q, -1) for q in run], np.int64)
        retrieved = np.zeros(len(qrels), np.int64)
        retrieved[listed[listed >= 0]] = sizes[listed >= 0]
        offsets = np.searchsorted(query, np.arange(len(qrels) + 1))
        return cls(offsets, grades, _ranks(run, listed, query, docs), retrieved)

    def relevant(self, level: int) -> np.ndarray:
        """[queries] number of documents of at least that grade."""
        return np.add.reduceat(np.append(self.grades >= level, False), self.offsets[:-1]) * (np.diff(self.offsets) > 0)

    @cached_property
    def query(self) -> np.ndarray:
        """[judged] number of each document's query."""
        return np.repeat(np.arange(len(self.retrieved)), np.diff(self.offsets))

    @cached_property
    def held(self) -> np.ndarray:
        """Places of the documents that the run holds, query by query, best rank first."""
        at = np.flatnonzero(self.ranks >= 0)
        return at[np.lexsort((self.ranks[at], self.query[at]))]


def _ranks(run: Run, listed: np.ndarray, query: np.ndarray, docs: np.ndarray) -> np.ndarray:
    """[judged] rank of each judged document in its query's list, -1 where it is not in it."""
    ranks = np.full(len(docs), -1, np.int64)
    starts = run.offsets[:-1]
    for seed in range(8):
        key = keys(docs, query, seed)
        order = np.argsort(key)
        key = key[order]
        if (key[1:] == key[:-1]).any():
            continue
        for at, matched in _matches(run, listed, key, seed):
            i = np.searchsorted(run.offsets, at, "right") - 1
            j = order[matched]
            same = (run.doc_bytes[at] == docs[j]) & (listed[i] == query[j])
            ranks[j[same]] = (at - starts[i])[same]
        return ranks
    raise DataError("evaluate: document ids collide under every hash; judgements list a document twice")


def _matches(run: Run, listed: np.ndarray, key: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For parts of the run (its entries, places in ``key``) whose keys are equal; ``key`` is sorted."""
    mask = np.uint64((1 << 22) - 1)
    known = np.zeros(int(mask) + 1, bool)
    known[key & mask] = True

    def matches(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        begin, end = run.offsets[first], run.offsets[last]
        query = np.repeat(listed[first:last], np.diff(run.offsets[first : last + 1]))
        block = keys(run.doc_bytes[begin:end], query, seed)
        at = np.flatnonzero(known[block & mask])
        nearest = np.minimum(np.searchsorted(key, block[at]), len(key) - 1)
        same = key[nearest] == block[at]
        return begin + at[same], nearest[same]

    return over_parts(matches, run.offsets)
