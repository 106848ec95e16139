"""Contrasts with a baseline: one system against another on one measure, tested, and corrected for the number of tests.

A system is a run, or the trainings of several seeds: ``ltr evaluate`` and ``ltr compare`` (``paired.compare``), benchmarks
(``contrast``) and pooled measures of labels come to their figures here. What differs is the sample that they start from.
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
from ltr.metrics.statistics.pooled_samples import Sample
from ltr.metrics.statistics.samples import Paired, detectable


@dataclass(frozen=True)
class Contrast:
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


def contrast(
    scored: Sample,
    baseline: Sample,
    tests: Sequence[Test] = ("fisher",),
    *,
    level: float = 0.95,
    resamples: int | None = None,
    permutations: int | None = None,
    seed: int = 0,
) -> Contrast:
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
    check_level(level)
    check_tests("contrast", tests)
    ours, theirs = ((s.data, str(s.measure), type(s).__name__) for s in (scored, baseline))
    if ours != theirs or not scored.same_queries(baseline):
        raise DataError(
            f"contrast: {scored.system} and {baseline.system} must be measured alike on the same queries, got "
            f"{ours[1]} on {scored.n_queries} queries of {ours[0]} and {theirs[1]} on {baseline.n_queries} of {theirs[0]}"
        )
    paired = scored.paired(baseline, level, resamples, permutations, seed, tests)  # type: ignore[arg-type]
    return contrast_of(scored.data, scored.system, baseline.system, scored.measure, paired, scored.n_queries)


def contrast_of(data: str, system: str, baseline: str, measure: AnyMeasure, paired: Paired, n_queries: int) -> Contrast:
    """A contrast from what two samples of so many queries (lists) differ in."""
    sign = 1 if measure.larger_is_better else -1
    wins, ties, losses = paired.counts[::sign] if paired.counts else (None, None, None)
    # of values per query and of pooled measures alike: the standard error of the difference is that of a mean over n queries
    sd = paired.error * np.sqrt(n_queries)
    return Contrast(
        data, system, baseline, measure,
        paired.difference, paired.low, paired.high, effect_size(paired.difference, sd),
        wins, ties, losses, detectable(paired.error, n_queries), n_queries, paired.p,
        counted=paired.counted,
    )  # fmt: skip


def contrasts(samples: Sequence[Sample], baseline: str, **settings: object) -> list[Contrast]:
    """All systems against the baseline, on each data set and measure that both have; not corrected yet.

    Args:
        samples: of several systems, measures and data sets.
        baseline: name of the system that the others are compared with.
        settings: of ``contrast``.

    Raises:
        ConfigError: no such system.
    """
    check_baseline("contrasts", "system", baseline, [s.system for s in samples])
    bases = {(s.data, str(s.measure)): s for s in samples if s.system == baseline}
    pairs = [(s, bases.get((s.data, str(s.measure)))) for s in samples if s.system != baseline]
    return [contrast(s, base, **settings) for s, base in pairs if base is not None]  # type: ignore[arg-type]


def corrected(contrasts: Sequence[Contrast]) -> list[Contrast]:
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


def effect_size(difference: float, sd: float) -> float:
    """Cohen's d of paired samples; 0 where nothing differs, NaN where differences are without spread.

    >>> effect_size(0.5, 0.25), effect_size(0.5, 0.0), effect_size(0.0, 0.0)
    (2.0, nan, 0.0)
    """
    if sd > 0:
        return difference / sd
    return 0.0 if difference == 0 and sd == 0 else float("nan")


def check_level(level: float) -> None:
    """Refuse the coverage of an interval that is no share. Raises ConfigError."""
    if not 0 < level < 1:
        raise ConfigError(f"seeds: the level of an interval must be between 0 and 1, got {level}")


def check_tests(owner: str, tests: Sequence[str]) -> None:
    """Refuse tests that there are not. Raises ConfigError that names ``owner``."""
    for test in tests:
        if test not in get_args(Test):
            raise ConfigError(f"{owner}: no test {test!r}; {suggestion(test, get_args(Test))}")


def check_baseline(owner: str, kind: str, baseline: str, names: Sequence[str]) -> None:
    """Refuse a baseline that is none of the systems (or runs). Raises ConfigError that names ``owner``."""
    if baseline not in names:
        raise ConfigError(f"{owner}: no {kind} {baseline!r} to be the baseline; {suggestion(baseline, names)}")
