"""Systems trained with several seeds: means, intervals over queries, spread over seeds.

Two sources of chance are kept apart. *Queries*: intervals and tests resample queries (lists) and take each query's mean
over the seeds; they answer whether the difference would be there on other queries. *Seeds*: standard deviation, range
and t interval over the seeds' means answer what another training would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltr.metrics.measures.measure import AnyMeasure
from ltr.metrics.statistics.contrasts import check_level
from ltr.metrics.statistics.pooled_samples import Sample


@dataclass(frozen=True)
class Summary:
    """What one system reached on one measure of one data set.

    Attributes:
        data: name of the data set.
        system: name of the system.
        measure: what was measured.
        mean: over seeds and queries (pooled measures: mean of the seeds' values).
        low: lower end of the bootstrap interval over queries, of the mean over seeds; NaN for one query.
        high: its upper end.
        seed_sd: standard deviation of the seeds' means; NaN for one seed.
        seed_min: the lowest of the seeds' means.
        seed_max: the highest.
        seed_low: lower end of the t interval over seeds; NaN for one seed.
        seed_high: its upper end.
        n_seeds: number of seeds.
        n_queries: number of queries (lists).
        level: coverage of both intervals.
    """

    data: str
    system: str
    measure: AnyMeasure
    mean: float
    low: float
    high: float
    seed_sd: float
    seed_min: float
    seed_max: float
    seed_low: float
    seed_high: float
    n_seeds: int
    n_queries: int
    level: float = 0.95


def summarise(scored: Sample, level: float = 0.95, resamples: int | None = None, seed: int = 0) -> Summary:
    """Mean of a system with its interval over queries and its spread over seeds.

    Args:
        scored: the system's values.
        level: coverage of the intervals, in (0, 1).
        resamples: draws of the bootstrap; default: 10,000 for values per query, see ``Pooled`` for pooled measures.
        seed: of the draws.
    """
    from scipy.special import stdtrit

    check_level(level)
    means = scored.seed_means
    n = len(means)
    mean = float(means.mean())
    low, high = scored.interval(level, resamples, seed)
    sd = float(means.std(ddof=1)) if n > 1 else float("nan")
    half = float(stdtrit(n - 1, (1 + level) / 2)) * sd / np.sqrt(n) if n > 1 else float("nan")
    return Summary(
        scored.data, scored.system, scored.measure, mean, low, high,
        sd, float(means.min()), float(means.max()), mean - half, mean + half,
        n, scored.n_queries, level,
    )  # fmt: skip
