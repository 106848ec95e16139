"""Several runs put together to one: the fusions of ranx on arrays, and weights chosen on queries with judgements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.io.names import suggestion
from ltr.io.runs import Run, as_bytes, keys
from ltr.io.trec import Qrels
from ltr.metrics.engine import evaluate
from ltr.metrics.inputs import as_run
from ltr.metrics.measures.measure import Measure

#: steps of weights that are tried, the finest first, and how many mixtures one search tries at most
STEPS = (0.05, 0.1, 0.2, 0.25, 0.5)
MOST_TRIED = 300
#: the same where the step was asked for
MOST_ASKED = 100_000


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

    def run(self, scores: np.ndarray, name: str) -> Run:
        """All documents with these scores."""
        return Run(self.query_ids, self.offsets, self.doc_bytes, scores, name)


@dataclass(frozen=True)
class Method:
    """How the scores or ranks of a document in several runs become one score.

    Attributes:
        formula: s are scores, r ranks, w weights, n the number of runs that hold the document; sums run over these.
        fused: from joined runs, [runs, 1] weights and the parameter.
        weighted: whether weights are part of it.
        by_rank: whether only ranks count; else scores are normalised first.
        parameter: its name, where there is one.
        default: of the parameter.
        bounds: of the parameter.
    """

    formula: str
    fused: Callable[[Joined, np.ndarray, float], np.ndarray]
    weighted: bool = False
    by_rank: bool = False
    parameter: str | None = None
    default: float = 0.0
    bounds: tuple[float, float] = (0.0, np.inf)


def _by_rank(
    joined: Joined, value: Callable[[np.ndarray], np.ndarray], weights: np.ndarray | float = 1.0
) -> np.ndarray:
    """The sum over runs of a function of the rank, which is 0 where a run does not hold the document."""
    return (weights * np.where(joined.held, value(np.maximum(joined.ranks, 1).astype(float)), 0.0)).sum(0)


def _median(joined: Joined) -> np.ndarray:
    values = np.sort(np.where(joined.held, joined.scores, np.inf), axis=0)
    low, high = (joined.holders - 1) // 2, joined.holders // 2
    column = np.arange(values.shape[1])
    return (values[low, column] + values[high, column]) / 2


def _borda(joined: Joined, weights: np.ndarray) -> np.ndarray:
    """As many points as documents at the first rank, one fewer at each next; the rest is shared by those not held."""
    sizes = np.diff(joined.offsets)
    query = np.repeat(np.arange(len(sizes)), sizes)
    all_of = sizes[query]
    lengths = np.stack([np.bincount(query, weights=held, minlength=len(sizes))[query] for held in joined.held])
    points = np.where(joined.held, all_of - joined.ranks + 1, (all_of - lengths + 1) / 2)
    return (weights * points).sum(0)


#: name, as in ranx -> method
METHODS = {
    "rrf": Method(
        "Σ w / (k + r)",
        lambda j, w, k: _by_rank(j, lambda r: 1 / (k + r), w),
        weighted=True,
        by_rank=True,
        parameter="k",
        default=60.0,
    ),
    "wsum": Method("Σ w s", lambda j, w, _: (w * j.scores).sum(0), weighted=True),
    "sum": Method("Σ s", lambda j, w, _: j.scores.sum(0)),
    "max": Method("max s", lambda j, w, _: np.where(j.held, j.scores, -np.inf).max(0, initial=-np.inf)),
    "min": Method("min s", lambda j, w, _: np.where(j.held, j.scores, np.inf).min(0, initial=np.inf)),
    "med": Method("median s", lambda j, w, _: _median(j)),
    "anz": Method("Σ s / n", lambda j, w, _: j.scores.sum(0) / j.holders),
    "mnz": Method("n Σ s", lambda j, w, _: j.scores.sum(0) * j.holders),
    "gmnz": Method(
        "n^gamma Σ s", lambda j, w, gamma: j.scores.sum(0) * j.holders**gamma, parameter="gamma", default=0.5
    ),
    "wmnz": Method("Σ w · Σ s", lambda j, w, _: j.scores.sum(0) * (w * j.held).sum(0), weighted=True),
    "mixed": Method("√n Σ w s", lambda j, w, _: (w * j.scores).sum(0) * np.sqrt(j.holders), weighted=True),
    "isr": Method("n Σ 1 / r²", lambda j, w, _: _by_rank(j, lambda r: 1 / r**2) * j.holders, by_rank=True),
    "log_isr": Method(
        "log n · Σ 1 / r²", lambda j, w, _: _by_rank(j, lambda r: 1 / r**2) * np.log(j.holders), by_rank=True
    ),
    "logn_isr": Method(
        "log(n + sigma) · Σ 1 / r²",
        lambda j, w, sigma: _by_rank(j, lambda r: 1 / r**2) * np.log(j.holders + sigma),
        by_rank=True,
        parameter="sigma",
        default=0.01,
        bounds=(0.0, 1.0),
    ),
    "rbc": Method(
        "Σ (1 - phi) phi^(r - 1)",
        lambda j, w, phi: _by_rank(j, lambda r: (1 - phi) * phi ** (r - 1)),
        by_rank=True,
        parameter="phi",
        default=0.8,
        bounds=(0.0, 1.0),
    ),
    "bordafuse": Method("Σ points by rank", lambda j, w, _: _borda(j, np.ones_like(w)), by_rank=True),
    "w_bordafuse": Method("Σ w · points by rank", lambda j, w, _: _borda(j, w), weighted=True, by_rank=True),
}


def fuse(
    runs: Sequence[Run],
    method: str = "rrf",
    norm: str = "min-max",
    weights: Sequence[float] | None = None,
    parameter: float | None = None,
    name: str | None = None,
) -> Run:
    """One run from several, by ranx's methods; documents with equal scores stand in trec_eval's order.

    Ranks are those of trec_eval's order, too, so that ties in the runs fuse alike everywhere. A document that a run
    does not hold counts nothing there. A query that only some runs hold is fused from those.

    Args:
        runs: two or more.
        method: of ``METHODS``.
        norm: what brings the scores of different runs to one scale, of ``NORMS``; methods by rank need none.
        weights: of the runs, for methods that are weighted; equal by default (1 each for ``rrf``, else 1 / runs).
        parameter: what the method takes: ``k`` of rrf, ``gamma`` of gmnz, ``sigma`` of logn_isr, ``phi`` of rbc.
        name: of the new run; by default the method and the runs' names.

    Raises:
        ConfigError: an unknown method or norm, fewer than two runs, weights that do not fit.

    >>> a = Run.from_dict({"q": {"x": 9.0, "y": 5.0}}, "a")
    >>> b = Run.from_dict({"q": {"y": 3.0, "z": 1.0}}, "b")
    >>> fuse([a, b], "rrf")["q"][0].tolist()
    ['y', 'x', 'z']
    """
    chosen = _method(method)
    values = _parameter(method, chosen, parameter)
    given = _weights(method, chosen, weights, len(runs))
    runs = list(map(as_run, runs))
    joined = joined_of(runs, method, norm)
    return joined.run(chosen.fused(joined, given, values), name or f"{method} {' + '.join(run.name for run in runs)}")


def joined_of(runs: Sequence[Run], method: str, norm: str) -> Joined:
    """Runs put side by side, with scores normalised as the method needs them."""
    if len(runs) < 2:
        raise ConfigError(f"fuse: two runs or more are needed, got {len(runs)}")
    if norm not in NORMS:
        raise ConfigError(f"fuse: no norm {norm!r}; {suggestion(norm, NORMS)}")
    by_rank = _method(method).by_rank
    runs = list(map(as_run, runs))
    return Joined.of(runs, [run.scores if by_rank else NORMS[norm](run) for run in runs])


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
    first, second = as_run(first), as_run(second)
    title = name or f"{weight:.4g} {first.name} + {1 - weight:.4g} {second.name}"
    return fuse([first, second], "wsum", weights=[weight, 1 - weight], name=title)


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
    weights, mean = best_weights([first, second], qrels, "wsum", "min-max", measure, step)
    return weights[0], mean


def best_weights(
    runs: Sequence[Run],
    qrels: Qrels,
    method: str = "wsum",
    norm: str = "min-max",
    measure: str | Measure = "ndcg@10",
    step: float | None = None,
    parameter: float | None = None,
) -> tuple[list[float], float]:
    """The weights, which sum to 1, with the highest mean, and that mean; use them on queries that chose nothing else.

    All weights that are multiples of ``step`` are tried. Of several equally good ones that nearest to their middle is
    taken, which lies far from where the measure falls.

    Args:
        runs: two or more.
        qrels: judgements of the queries to choose on.
        method: one that is weighted.
        norm: see ``fuse``.
        measure: what to maximise.
        step: distance of the weights tried; None takes the finest that tries at most ``MOST_TRIED`` mixtures.
        parameter: see ``fuse``.

    Raises:
        ConfigError: the method has no weights, or too many runs are to be mixed.
    """
    chosen, asked = _method(method), Measure.parse(measure)
    if not chosen.weighted:
        raise ConfigError(f"fuse: {method} has no weights to choose; those that have: {', '.join(WEIGHTED)}")
    tried = _mixtures(len(runs), step)
    joined, value = joined_of(runs, method, norm), _parameter(method, chosen, parameter)
    means = np.empty(len(tried))
    for i, weights in enumerate(tried):
        run = joined.run(chosen.fused(joined, weights[:, None], value), "fused")
        means[i] = evaluate(run, qrels, asked)[asked]
    best = np.flatnonzero(means >= means.max() - 1e-12)
    away = ((tried[best] - tried[best].mean(0)) ** 2).sum(1)
    middle = best[np.flatnonzero(away <= away.min() + 1e-12)[-1]]
    return tried[middle].tolist(), float(means[middle])


def _mixtures(n: int, step: float | None) -> np.ndarray:
    """[mixtures, runs] all weights that are multiples of a step and sum to 1; that of the first run rises."""
    for one in STEPS if step is None else (step,):
        parts = round(1 / one)
        if math.comb(parts + n - 1, n - 1) > (MOST_TRIED if step is None else MOST_ASKED):
            continue
        # n - 1 bars among the parts cut them into n weights
        bars = np.array(list(combinations(range(parts + n - 1), n - 1)), np.int64).reshape(-1, n - 1)
        ends = np.column_stack([np.full(len(bars), -1), bars, np.full(len(bars), parts + n - 1)])
        return (np.diff(ends, axis=1) - 1) / parts
    raise ConfigError(f"fuse: the weights of {n} runs are too many to try; give --weights, or fuse fewer runs")


def _method(name: str) -> Method:
    if name not in METHODS:
        raise ConfigError(f"fuse: no method {name!r}; {suggestion(name, METHODS)}")
    return METHODS[name]


def _parameter(name: str, method: Method, value: float | None) -> float:
    if value is None:
        return method.default
    if method.parameter is None:
        those = ", ".join(f"{m.parameter} of {n}" for n, m in METHODS.items() if m.parameter)
        raise ConfigError(f"fuse: {name} takes no parameter, got {value}; there are {those}")
    low, high = method.bounds
    if not low <= value <= high:
        raise ConfigError(f"fuse: {method.parameter} of {name} must be from {low:g} to {high:g}, got {value}")
    return value


def _weights(name: str, method: Method, weights: Sequence[float] | None, n: int) -> np.ndarray:
    """[runs, 1]."""
    if weights is None:
        return np.full((n, 1), 1.0 if name == "rrf" else 1 / max(n, 1))
    if not method.weighted:
        raise ConfigError(f"fuse: {name} takes no weights; those that do: {', '.join(WEIGHTED)}")
    found = np.array(weights, np.float64)
    if len(found) != n or not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise ConfigError(f"fuse: one weight for each of the {n} runs, none negative and not all 0, got {weights}")
    return found[:, None]


def normalised(run: Run) -> np.ndarray:
    """[entries] scores of a run brought to [0, 1] within each query."""
    low, high = _extremes(run)
    return (run.scores - low) / np.where(high > low, high - low, 1.0)


def _extremes(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """[entries] the smallest and the largest score of each entry's query."""
    # the scores order is float32's, so neither end of a list is safely its extreme
    return _spread(run, np.minimum.reduceat), _spread(run, np.maximum.reduceat)


def _spread(run: Run, reduced: Callable, values: np.ndarray | None = None) -> np.ndarray:
    """[entries] what values come to within the query of each entry."""
    sizes = np.diff(run.offsets)
    starts = run.offsets[:-1][sizes > 0]
    if not len(starts):
        return np.zeros(0)
    return np.repeat(reduced(run.scores if values is None else values, starts), sizes[sizes > 0])


def _by_largest(run: Run) -> np.ndarray:
    return run.scores / np.maximum(_extremes(run)[1], 1e-9)


def _by_sum(run: Run) -> np.ndarray:
    above = run.scores - _extremes(run)[0]
    return above / np.maximum(_spread(run, np.add.reduceat, above), 1e-9)


def _by_deviation(run: Run) -> np.ndarray:
    n = np.repeat(np.diff(run.offsets), np.diff(run.offsets))
    away = run.scores - _spread(run, np.add.reduceat) / n
    return away / np.maximum(np.sqrt(_spread(run, np.add.reduceat, away**2) / n), 1e-9)


def _by_deviation_of_all(run: Run) -> np.ndarray:
    return (run.scores - run.scores.mean()) / max(float(run.scores.std()), 1e-9) if len(run.scores) else run.scores


def _by_rank_of(run: Run) -> np.ndarray:
    sizes = np.diff(run.offsets)
    place = np.arange(len(run.scores)) - np.repeat(run.offsets[:-1], sizes)
    return 1 - place / np.repeat(sizes, sizes)


#: name, as in ranx -> [entries] scores of a run that can be added to those of another; ``standard`` is ltr's own: all
#: scores of a run are brought to mean 0 and deviation 1 at once, so that what a query's scores say of their level stays
NORMS: dict[str, Callable[[Run], np.ndarray]] = {
    "min-max": normalised,
    "max": _by_largest,
    "sum": _by_sum,
    "zmuv": _by_deviation,
    "rank": _by_rank_of,
    "standard": _by_deviation_of_all,
    "none": lambda run: run.scores,
}
#: methods that take weights
WEIGHTED = [name for name, method in METHODS.items() if method.weighted]


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
