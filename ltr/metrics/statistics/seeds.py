"""Systems trained with several seeds: means, intervals over queries, spread over seeds, contrasts with a baseline.

Two sources of chance are kept apart. *Queries*: intervals and tests resample queries (lists) and take each query's mean
over the seeds; they answer whether the difference would be there on other queries. *Seeds*: standard deviation, range
and t interval over the seeds' means answer what another training would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.io.names import suggestion
from ltr.metrics.measures.measure import AnyMeasure
from ltr.metrics.statistics.p_values import PermutationTest, Test, holm
from ltr.metrics.statistics.paired import effect_size
from ltr.metrics.statistics.pooled_samples import Pooled, Sample, sample
from ltr.metrics.statistics.samples import PerQuery, detectable

__all__ = [
    "PerQuery",
    "Pooled",
    "Sample",
    "SeedContrast",
    "Summary",
    "contrast",
    "contrasts",
    "corrected",
    "sample",
    "summarise",
]


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


@dataclass(frozen=True)
class SeedContrast:
    """One system against the baseline on one measure of one data set; positive where the system's value is larger.

    Attributes:
        data: name of the data set.
        system: name of the system.
        baseline: name of the system it is compared with.
        measure: what was measured; its direction says whether a positive difference is good.
        difference: of the means over seeds and queries.
        low: lower end of the bootstrap interval of the difference, over queries.
        high: its upper end.
        effect: difference / standard deviation of the queries' differences (Cohen's d of paired samples); for pooled
            measures that standard deviation is the bootstrap standard error times the root of the number of lists. 0 where
            nothing differs, NaN without spread.
        wins: queries on which the system is better, by the measure's direction; None for pooled measures.
        ties: queries on which both are equal.
        losses: queries on which the baseline is better.
        detectable: smallest difference that a test of this size would find, see ``detectable``.
        n_queries: number of queries (lists).
        p: test -> two-sided p-value; NaN where the test is undefined.
        adjusted: test -> p-value after Holm's correction; empty before ``corrected``.
        counted: randomisation test -> how its p was counted.
    """

    data: str
    system: str
    baseline: str
    measure: AnyMeasure
    difference: float
    low: float
    high: float
    effect: float
    wins: int | None
    ties: int | None
    losses: int | None
    detectable: float
    n_queries: int
    p: dict[str, float]
    adjusted: dict[str, float] = field(default_factory=dict)
    counted: dict[str, PermutationTest] = field(default_factory=dict)

    @property
    def better(self) -> bool | None:
        """Whether the system's value is the better one; None where they are equal or undefined."""
        if not self.difference or np.isnan(self.difference):
            return None
        return (self.difference > 0) == self.measure.larger_is_better


def summarise(scored: Sample, level: float = 0.95, resamples: int | None = None, seed: int = 0) -> Summary:
    """Mean of a system with its interval over queries and its spread over seeds.

    Args:
        scored: the system's values.
        level: coverage of the intervals, in (0, 1).
        resamples: draws of the bootstrap; default: 10,000 for values per query, see ``Pooled`` for pooled measures.
        seed: of the draws.
    """
    from scipy.special import stdtrit

    _check_level(level)
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


def contrast(
    scored: Sample,
    baseline: Sample,
    tests: Sequence[Test] = ("fisher",),
    *,
    level: float = 0.95,
    resamples: int | None = None,
    permutations: int | None = None,
    seed: int = 0,
) -> SeedContrast:
    """Compare a system with the baseline on the same queries, each query at its mean over the seeds.

    Args:
        scored: the system's values.
        baseline: the baseline's, of the same measure, data and queries; pooled measures take the same number of seeds.
        tests: ``"fisher"`` (randomisation: the systems change places on random queries; null hypothesis: they are
            exchangeable query by query, see ``fisher`` and ``Pooled``) and ``"student"`` (paired t-test; pooled: the
            difference over its bootstrap standard error, as t with lists - 1 degrees of freedom).
        level: coverage of the interval.
        resamples: draws of the bootstrap; see ``summarise``.
        permutations: random changes of place, at most; default: 100,000 for values per query, see ``Pooled`` for pooled
            measures.
        seed: of draws and permutations; the same seed gives the same figures.

    Raises:
        ConfigError: an unknown test.
        DataError: samples of other measures, data or queries.
        ShapeError: pooled measures with different numbers of seeds.
    """
    _check_level(level)
    for test in tests:
        if test not in get_args(Test):
            raise ConfigError(f"contrast: no test {test!r}; {suggestion(test, get_args(Test))}")
    ours, theirs = ((s.data, str(s.measure), type(s).__name__) for s in (scored, baseline))
    if ours != theirs or not scored.same_queries(baseline):
        raise DataError(
            f"contrast: {scored.system} and {baseline.system} must be measured alike on the same queries, got "
            f"{ours[1]} on {scored.n_queries} queries of {ours[0]} and {theirs[1]} on {baseline.n_queries} of {theirs[0]}"
        )
    paired = scored.paired(baseline, level, resamples, permutations, seed, tests)  # type: ignore[arg-type]
    sign = 1 if scored.measure.larger_is_better else -1
    wins, ties, losses = paired.counts[::sign] if paired.counts else (None, None, None)
    # the same in both sorts: the standard error of the difference is that of a mean over n queries
    sd = paired.error * np.sqrt(scored.n_queries)
    return SeedContrast(
        scored.data, scored.system, baseline.system, scored.measure,
        paired.difference, paired.low, paired.high, effect_size(paired.difference, sd),
        wins, ties, losses, detectable(paired.error, scored.n_queries), scored.n_queries, paired.p,
        counted=paired.counted,
    )  # fmt: skip


def contrasts(samples: Sequence[Sample], baseline: str, **settings: object) -> list[SeedContrast]:
    """All systems against the baseline, on each data set and measure that both have; not corrected yet.

    Args:
        samples: of several systems, measures and data sets.
        baseline: name of the system that the others are compared with.
        settings: of ``contrast``.

    Raises:
        ConfigError: no such system.
    """
    names = list(dict.fromkeys(s.system for s in samples))
    if baseline not in names:
        raise ConfigError(f"contrasts: no system {baseline!r} to be the baseline; {suggestion(baseline, names)}")
    bases = {(s.data, str(s.measure)): s for s in samples if s.system == baseline}
    pairs = [(s, bases.get((s.data, str(s.measure)))) for s in samples if s.system != baseline]
    return [contrast(s, base, **settings) for s, base in pairs if base is not None]  # type: ignore[arg-type]


def corrected(contrasts: Sequence[SeedContrast]) -> list[SeedContrast]:
    """The same contrasts with Holm's correction over all of them, for each test.

    Give all contrasts of a table, of all its measures and data sets, at once. An undefined p-value (NaN) counts as a
    comparison and stays NaN.
    """
    tests = list(dict.fromkeys(t for c in contrasts for t in c.p))
    adjusted: list[dict[str, float]] = [{} for _ in contrasts]
    for test in tests:
        at = [i for i, c in enumerate(contrasts) if test in c.p]
        p = np.array([contrasts[i].p[test] for i in at])
        for i, value in zip(at, holm(p).tolist(), strict=True):
            adjusted[i][test] = value
    return [replace(c, adjusted=p_values) for c, p_values in zip(contrasts, adjusted, strict=True)]


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"seeds: the level of an interval must be between 0 and 1, got {level}")
