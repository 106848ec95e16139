"""The weights of a fusion, chosen on queries with judgements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ltr.errors import ConfigError
from ltr.io.runs import Run
from ltr.io.trec import Qrels
from ltr.metrics.engine import evaluate
from ltr.metrics.fusion.fusing import joined_of
from ltr.metrics.fusion.methods import WEIGHTED, method_of, parameter_of
from ltr.metrics.measures.measure import Measure

#: steps of weights that are tried, the finest first, and how many mixtures one search tries at most
STEPS = (0.05, 0.1, 0.2, 0.25, 0.5)
MOST_TRIED = 300
#: the same where the step was asked for
MOST_ASKED = 100_000


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
    chosen, asked = method_of(method), Measure.parse(measure)
    if not chosen.weighted:
        raise ConfigError(f"fuse: {method} has no weights to choose; those that have: {', '.join(WEIGHTED)}")
    tried = _mixtures(len(runs), step)
    joined, value = joined_of(runs, method, norm), parameter_of(method, chosen, parameter)
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
