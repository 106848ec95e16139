"""Intervals of means by the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltr.errors import ConfigError, ShapeError
from ltr.metrics.statistics.p_values import checked_values, to_unit_scale

#: numbers that one step of the bootstrap draws: they stay in the processor's cache (4 million: 1.6 x slower)
DRAWN = 2**18


def bootstrap(values: np.ndarray, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Interval of the mean by the bootstrap, bias-corrected and accelerated (BCa); NaN for one query, which tells nothing
    about others.

    Args:
        values: [queries].
        level: coverage, in (0, 1).
        resamples: draws of as many queries with replacement.
        seed: of the draws.

    Source: B. Efron, "Better Bootstrap Confidence Intervals", JASA 1987.
    """
    return bootstraps([values], level, resamples, seed)[0]


def bootstraps(
    columns: Sequence[np.ndarray], level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> list[tuple[float, float]]:
    """``bootstrap`` of several columns of values of the same queries, which share the draws.

    Five columns of 7,000 queries take 0.5 s; each on its own, in steps beyond the cache, took 2.1 s together.
    """
    if not 0 < level < 1:
        raise ConfigError(f"bootstrap: the level must be between 0 and 1, got {level}")
    flat = [checked_values(values) for values in columns]
    if len(lengths := {len(x) for x in flat}) > 1:
        raise ShapeError(f"bootstrap: columns must be of the same queries, got lengths {sorted(lengths)}")
    drawn = {i: x for i, x in enumerate(flat) if len(x) > 1 and np.ptp(x) > 0}
    means = dict(zip(drawn, _resampled(list(drawn.values()), resamples, seed), strict=True))
    return [_accelerated(x, means[i], level) if i in means else _constant(x) for i, x in enumerate(flat)]


def _constant(x: np.ndarray) -> tuple[float, float]:
    """The interval of equal values: every draw has their mean. Of one value, or none, there is no interval."""
    value = float(x[0]) if len(x) > 1 else float("nan")
    return value, value


def _resampled(columns: list[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """[columns, resamples] means of draws with replacement, the same draws for all columns."""
    rng = np.random.default_rng(seed)
    means = np.empty((len(columns), resamples))
    n = len(columns[0]) if columns else 1
    step = max(1, DRAWN // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, n, (rows, n))
        for x, resampled in zip(columns, means, strict=True):
            resampled[start : start + rows] = x.take(drawn).mean(axis=1)
    return means


def _accelerated(x: np.ndarray, means: np.ndarray, level: float) -> tuple[float, float]:
    """The interval of BCa from the resampled means. The standard library's normal distribution imports 20 x faster."""
    from statistics import NormalDist

    normal = NormalDist()
    scaled, resamples = to_unit_scale(x - x.mean()), len(means)
    below = ((means < x.mean()).sum() + (means <= x.mean()).sum()) / (2 * resamples)
    bias = normal.inv_cdf(float(np.clip(below, 1 / resamples, 1 - 1 / resamples)))
    acceleration = float((scaled**3).sum() / (6 * (scaled**2).sum() ** 1.5))
    ends = [bias + normal.inv_cdf(share) for share in ((1 - level) / 2, (1 + level) / 2)]
    low, high = np.quantile(means, [normal.cdf(bias + z / (1 - acceleration * z)) for z in ends])
    return float(low), float(high)
