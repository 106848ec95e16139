"""Interpolation of two runs: the min-max weighted sum of ranx, on arrays."""

from __future__ import annotations

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.io.runs import Run, as_bytes, keys
from ltr.io.trec import Qrels
from ltr.metrics.engine import evaluate
from ltr.metrics.measures.measure import Measure


def interpolate(first: Run, second: Run, weight: float, name: str | None = None) -> Run:
    """Weighted sum of two runs, ``weight * n(first) + (1 - weight) * n(second)``.

    n maps the scores of a query to [0, 1] by ``(s - min) / (max - min)`` (all 0 where they are equal). Min-max and not
    z-scores, because a document that only one run holds counts 0 in the other: that is the lowest retrieved document
    there, while the 0 of z-scores is an average one, which would lift what was never retrieved. A query that only one
    run holds keeps that run's order. Equals ranx's ``fuse(norm="min-max", method="wsum")``.

    Args:
        first: one run.
        second: another run, often the first stage.
        weight: of ``first``, in [0, 1].
        name: the new run's name, such as ``0.3 a + 0.7 b`` by default.

    Raises:
        ConfigError: for a weight outside of [0, 1].

    >>> a = Run.from_dict({"q": {"x": 9.0, "y": 5.0, "z": 1.0}})
    >>> b = Run.from_dict({"q": {"x": 0.0, "y": 3.0}})
    >>> interpolate(a, b, 0.25).to_dict()
    {'q': {'y': 0.875, 'x': 0.25, 'z': 0.0}}
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f"interpolate: the weight of the first run must be in [0, 1], got {weight}")
    number = {q: i for i, q in enumerate(dict.fromkeys([*first, *second]))}
    query = np.concatenate([_queries(run, number) for run in (first, second)])
    docs = as_bytes(np.concatenate([first.doc_bytes, second.doc_bytes]))
    scores = np.concatenate([weight * normalised(first), (1 - weight) * normalised(second)])
    kept, place = _distinct(docs, query)
    total = np.bincount(place, weights=scores, minlength=len(kept))
    order = np.argsort(query[kept], kind="stable")
    offsets = np.searchsorted(query[kept][order], np.arange(len(number) + 1))
    title = name or f"{weight:.4g} {first.name} + {1 - weight:.4g} {second.name}"
    return Run(list(number), offsets, docs[kept][order], total[order], title)


def best_weight(
    first: Run, second: Run, qrels: Qrels, measure: str | Measure = "ndcg@10", step: float = 0.05
) -> tuple[float, float]:
    """The weight of ``first`` with the highest mean, and that mean; use it on queries that chose nothing else.

    All multiples of ``step`` in [0, 1] are tried. Of several equally good ones the middle one is taken, which lies
    farthest from where the measure falls.

    Args:
        first: one run.
        second: another run.
        qrels: judgements of the queries to choose on.
        measure: what to maximise.
        step: distance of the weights tried, in (0, 1].
    """
    if not 0 < step <= 1:
        raise ConfigError(f"best_weight: the step must be in (0, 1], got {step}")
    n = round(1 / step)
    weights = np.arange(n + 1) / n
    chosen = Measure.parse(measure)
    means = np.array([evaluate(interpolate(first, second, w), qrels, chosen)[chosen] for w in weights.tolist()])
    best = np.flatnonzero(means >= means.max() - 1e-12)
    middle = best[len(best) // 2]
    return float(weights[middle]), float(means[middle])


def normalised(run: Run) -> np.ndarray:
    """[entries] scores of a run brought to [0, 1] within each query."""
    sizes = np.diff(run.offsets)
    starts = run.offsets[:-1][sizes > 0]
    if not len(starts):
        return np.zeros(0)
    # the scores order is float32's, so neither end of a list is safely its extreme
    low = np.repeat(np.minimum.reduceat(run.scores, starts), sizes[sizes > 0])
    high = np.repeat(np.maximum.reduceat(run.scores, starts), sizes[sizes > 0])
    return (run.scores - low) / np.where(high > low, high - low, 1.0)


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
