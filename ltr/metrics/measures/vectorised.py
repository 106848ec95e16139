"""The measures on flat arrays of judged documents and their ranks, all queries at once, without anything to compile.

Only judged documents count for a measure, so a thousand ranks a query cost no more than ten. Values equal ranx's, which
``ltr.metrics.measures.by_ranx`` keeps as the reference. Every function takes ``(lists, measure)`` and gives [queries]; where no
document is relevant the value is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ltr.metrics.measures.judged_ranks import JudgedRanks
from ltr.metrics.measures.measure import Measure
from ltr.metrics.measures.own import own_values


class Hits(NamedTuple):
    """Relevant documents that the run holds within the cutoff, query by query, best first.

    Attributes:
        query: [hits] number of the query.
        rank: [hits] from 0.
        grade: [hits].
    """

    query: np.ndarray
    rank: np.ndarray
    grade: np.ndarray


def measured(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    """[queries] float64 values of one measure.

    >>> lists = JudgedRanks(np.array([0, 2]), np.array([3.0, 1.0]), np.array([4, 1]), np.array([10]))
    >>> measured(lists, Measure.parse("mrr")).tolist(), measured(lists, Measure.parse("mrr-l2")).tolist()
    ([0.5], [0.2])
    """
    if measure.own:
        return own_values(lists, measure.name, measure.level, measure.cutoff)
    return FUNCTIONS[measure.name](lists, measure)


def _hits(lists: JudgedRanks, measure: Measure) -> Hits:
    at = lists.held
    keep = lists.grades[at] >= measure.level
    if measure.cutoff:
        keep &= lists.ranks[at] < measure.cutoff
    at = at[keep]
    return Hits(lists.query[at], lists.ranks[at], lists.grades[at])


def _sums(lists: JudgedRanks, query: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """[queries] float64 sum of the values (without them: number) of each query."""
    return np.bincount(query, values, len(lists.retrieved)).astype(np.float64)


def _share(part: np.ndarray, whole: np.ndarray | float) -> np.ndarray:
    """part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=np.asarray(whole) != 0)


def _position(query: np.ndarray) -> np.ndarray:
    """[entries] place within its query, from 0; ``query`` rises."""
    return np.arange(len(query)) - np.searchsorted(query, query)


def _hit_count(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    return _sums(lists, _hits(lists, measure).query)


def _hit_rate(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    return np.minimum(_hit_count(lists, measure), 1.0)


def _recall(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    return _share(_hit_count(lists, measure), lists.relevant(measure.level))


def _precision(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    # a list shorter than the cutoff is divided by the cutoff, as in trec_eval
    return _share(_hit_count(lists, measure), measure.cutoff or lists.retrieved)


def _f1(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    precision, recall = _precision(lists, measure), _recall(lists, measure)
    return 2 * _share(precision * recall, precision + recall)


def _r_precision(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    hits, relevant = _hits(lists, measure), lists.relevant(measure.level)
    return _share(_sums(lists, hits.query[hits.rank < relevant[hits.query]]), relevant)


def _mrr(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    hits = _hits(lists, measure)
    first = _position(hits.query) == 0
    return _sums(lists, hits.query[first], 1 / (hits.rank[first] + 1))


def _map(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    hits = _hits(lists, measure)
    precision = (_position(hits.query) + 1) / (hits.rank + 1)
    return _share(_sums(lists, hits.query, precision), lists.relevant(measure.level))


def _rbp(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    assert measure.persistence is not None
    hits = _hits(lists, measure)
    return (1 - measure.persistence) * _sums(lists, hits.query, measure.persistence**hits.rank)


def _bpref(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    """Each relevant document counts 1 less the share of irrelevant judged ones above it, at most 1.

    Without irrelevant ones the value is the recall.
    """
    at, relevant = lists.held, lists.relevant(measure.level)
    hit, query = lists.grades[at] >= measure.level, lists.query[at]
    misses = np.concatenate([[0], np.cumsum(~hit)])
    above = (
        misses[:-1] - misses[np.searchsorted(query, query)]
    )  # irrelevant ones between the query's first and this one
    least = np.minimum(relevant, np.diff(lists.offsets) - relevant)[query[hit]]
    counted = 1 - _share(np.minimum(above[hit], relevant[query[hit]]), least)
    return _share(_sums(lists, query[hit], counted), relevant)


def _gain(measure: Measure, grades: np.ndarray) -> np.ndarray:
    return grades if measure.kind.gain == "linear" else 2.0**grades - 1


def _dcg(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    hits = _hits(lists, measure)
    return _sums(lists, hits.query, _gain(measure, hits.grade) / np.log2(hits.rank + 2))


def _ndcg(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    ranks = _position(lists.query)  # grades fall within a query: this is the ideal ranking
    best = lists.grades >= measure.level
    if measure.cutoff:
        best &= ranks < measure.cutoff
    ideal = _sums(lists, lists.query[best], _gain(measure, lists.grades[best]) / np.log2(ranks[best] + 2))
    return _share(_dcg(lists, measure), ideal)


#: measure -> function; all of ``ltr.metrics.measures.measure.KINDS``
FUNCTIONS: dict[str, Callable[[JudgedRanks, Measure], np.ndarray]] = {
    "ndcg": _ndcg,
    "ndcg_burges": _ndcg,
    "dcg": _dcg,
    "dcg_burges": _dcg,
    "mrr": _mrr,
    "map": _map,
    "recall": _recall,
    "precision": _precision,
    "f1": _f1,
    "hits": _hit_count,
    "hit_rate": _hit_rate,
    "r-precision": _r_precision,
    "bpref": _bpref,
    "rbp": _rbp,
}
