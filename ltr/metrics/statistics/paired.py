"""Paired comparison of runs: tests, corrected for their number, intervals, and who wins how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

from ltr.errors import ConfigError, DataError
from ltr.io.names import suggestion
from ltr.metrics.engine import Evaluation
from ltr.metrics.statistics.bootstrap import bootstraps
from ltr.metrics.statistics.p_values import PERMUTATIONS, PermutationTest, Test, holm, p_values, spread, to_unit_scale


@dataclass(frozen=True)
class Contrast:
    """One run against the baseline on one measure.

    Attributes:
        run: name of the run.
        baseline: name of the run it is compared with.
        measure: text of the measure.
        difference: mean of (run - baseline) over the queries.
        low: lower end of the bootstrap interval of the difference.
        high: its upper end.
        effect: difference / standard deviation of the differences (Cohen's d of paired samples); 0 where nothing differs,
            NaN where the differences have no spread or there is one query.
        wins: queries on which the run is better.
        ties: queries on which both are equal.
        losses: queries on which the baseline is better.
        p: test -> two-sided p-value; NaN where the test is undefined.
        adjusted: test -> p-value after Holm's correction over all contrasts of the comparison.
        counted: randomisation test -> how its p was counted.
    """

    run: str
    baseline: str
    measure: str
    difference: float
    low: float
    high: float
    effect: float
    wins: int
    ties: int
    losses: int
    p: dict[str, float]
    adjusted: dict[str, float]
    counted: dict[str, PermutationTest] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """All runs against the baseline on all measures.

    Attributes:
        baseline: name of the run that the others are compared with.
        tests: the tests done.
        contrasts: one per other run and measure; Holm's correction is over all of them, for each test.
        intervals: (run, measure) -> bootstrap interval of the mean; NaN for one query.
        level: coverage of the intervals.
    """

    baseline: str
    tests: tuple[str, ...]
    contrasts: tuple[Contrast, ...]
    intervals: dict[tuple[str, str], tuple[float, float]]
    level: float

    def contrast(self, run: str, measure: str) -> Contrast | None:
        """The contrast of a run on a measure; None for the baseline itself."""
        return next((c for c in self.contrasts if (c.run, c.measure) == (run, measure)), None)


def compare(
    evaluations: Sequence[Evaluation],
    baseline: str | None = None,
    tests: Sequence[Test] = ("student",),
    *,
    level: float = 0.95,
    permutations: int = PERMUTATIONS,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare runs, measured on the same queries, with one of them.

    Args:
        evaluations: of the runs, all with the same measures and judgements.
        baseline: name of the run that the others are compared with; the first by default.
        tests: ``"student"`` (paired t-test) and ``"fisher"`` (randomisation of signs).
        level: coverage of the intervals, in (0, 1).
        permutations: random sign flips of Fisher's test.
        resamples: draws of the bootstrap.
        seed: of permutations and draws; the same seed gives the same figures.

    Raises:
        ConfigError: for an unknown baseline or test.
        DataError: when runs share a name or were measured on other queries or measures.
    """
    names = [e.run for e in evaluations]
    _comparable(evaluations, names)
    baseline = names[0] if baseline is None else baseline
    if baseline not in names:
        raise ConfigError(f"compare: no run {baseline!r} to be the baseline; {suggestion(baseline, names)}")
    for test in tests:
        if test not in get_args(Test):
            raise ConfigError(f"compare: no test {test!r}; {suggestion(test, get_args(Test))}")
    base = evaluations[names.index(baseline)]
    pairs = [(e, m) for e in evaluations if e is not base for m in e.values]
    differences = [e.values[m] - base.values[m] for e, m in pairs]
    tested = [p_values(tests, d, permutations, seed) for d in differences]
    adjusted = {t: holm([p[t] for p, _ in tested]) for t in tests}
    means = {(e.run, m): v for e in evaluations for m, v in e.values.items()}
    intervals = bootstraps([*means.values(), *differences], level, resamples, seed)
    contrasts = []
    for i, (e, m) in enumerate(pairs):
        corrected: dict[str, float] = {t: float(adjusted[t][i]) for t in tests}
        contrasts.append(_contrast(e, base, m, intervals[len(means) + i], *tested[i], corrected))
    of_means = dict(zip(means, intervals, strict=False))
    return Comparison(baseline, tuple(tests), tuple(contrasts), of_means, level)


def _comparable(evaluations: Sequence[Evaluation], names: list[str]) -> None:
    if not evaluations:
        raise DataError("compare: no run was given")
    if len(set(names)) < len(names):
        raise DataError(f"compare: runs need distinct names, got {', '.join(names)}")
    first = evaluations[0]
    for other in evaluations[1:]:
        if other.query_ids != first.query_ids or list(other.values) != list(first.values):
            raise DataError(f"compare: {first.run} and {other.run} were measured on different queries or measures")


def _contrast(
    run: Evaluation,
    base: Evaluation,
    measure: str,
    interval: tuple[float, float],
    p: dict[str, float],
    counts: dict[str, PermutationTest],
    adjusted: dict[str, float],
) -> Contrast:
    d = run.values[measure] - base.values[measure]
    wins, losses = int((d > 1e-9).sum()), int((d < -1e-9).sum())
    scaled = to_unit_scale(d)
    return Contrast(
        run.run, base.run, measure, float(d.mean()), *interval, effect_size(float(scaled.mean()), spread(scaled)),
        wins, len(d) - wins - losses, losses, p, adjusted, counts,
    )  # fmt: skip


def effect_size(difference: float, sd: float) -> float:
    """Cohen's d of paired samples; 0 where nothing differs, NaN where differences are without spread.

    >>> effect_size(0.5, 0.25), effect_size(0.5, 0.0), effect_size(0.0, 0.0)
    (2.0, nan, 0.0)
    """
    if sd > 0:
        return difference / sd
    return 0.0 if difference == 0 and sd == 0 else float("nan")
