"""Paired comparison of runs, or of predictions of labels, on the same queries: all against one, with intervals.

A run is a system of one seed: contrasts and their correction are those of ``contrasts``, which benchmarks share. What is
done here is to let the bootstrap draw once for all runs and measures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ltr.errors import DataError
from ltr.io.labelled import LabelledLists
from ltr.metrics.engine import Evaluation
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.measure import parse
from ltr.metrics.statistics.bootstrap import bootstraps
from ltr.metrics.statistics.contrasts import Contrast, check_baseline, check_tests, contrast_of, contrasts, corrected
from ltr.metrics.statistics.p_values import PERMUTATIONS, Test
from ltr.metrics.statistics.pooled_samples import Pooled, draw_together, sample
from ltr.metrics.statistics.samples import DRAWS, paired_queries


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
        return next((c for c in self.contrasts if (c.system, str(c.measure)) == (run, measure)), None)


def compare(
    evaluations: Sequence[Evaluation],
    baseline: str | None = None,
    tests: Sequence[Test] = ("student",),
    *,
    level: float = 0.95,
    permutations: int = PERMUTATIONS,
    resamples: int = DRAWS,
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
    check_baseline("compare", "run", baseline, names)
    check_tests("compare", tests)
    base = evaluations[names.index(baseline)]
    means = {(e.run, m): values for e in evaluations for m, values in e.values.items()}
    differences = {(e.run, m): e.values[m] - base.values[m] for e in evaluations if e is not base for m in e.values}
    intervals = bootstraps([*means.values(), *differences.values()], level, resamples, seed)
    of_means, of_differences = intervals[: len(means)], intervals[len(means) :]
    contrasts = [
        contrast_of("", run, baseline, parse(m), paired_queries(d, interval, tests, permutations, seed), len(d))
        for ((run, m), d), interval in zip(differences.items(), of_differences, strict=True)
    ]
    of_runs = dict(zip(means, of_means, strict=True))
    return Comparison(baseline, tuple(tests), tuple(corrected(contrasts)), of_runs, level)


def compare_labels(
    predictions: Mapping[str, np.ndarray],
    truth: LabelledLists,
    measures: Iterable[LabelMeasure],
    baseline: str | None = None,
    tests: Sequence[Test] = ("student",),
    *,
    level: float = 0.95,
    seed: int = 0,
    intervals: bool = True,
) -> Comparison:
    """Compare predictions of the same labels with those of one system.

    Args:
        predictions: name of a system -> [documents] its predictions, in the order of the labels.
        truth: the labels.
        measures: of labels; those that pool documents are resampled by lists, see ``Pooled``.
        baseline: name of the system that the others are compared with; the first by default.
        tests: see ``contrast``.
        level: coverage of the intervals, in (0, 1).
        seed: of permutations and draws; the same seed gives the same figures.
        intervals: False draws nothing for a single system, whose intervals nobody asks for.

    Raises:
        ConfigError: for an unknown baseline or test.
        DataError: predictions that are not finite.
        ShapeError: not one prediction for each label.
    """
    baseline = next(iter(predictions)) if baseline is None else baseline
    check_baseline("compare", "model", baseline, list(predictions))
    check_tests("compare", tests)
    samples = []
    for measure in measures:
        own = [sample(name, measure, p[None], truth) for name, p in predictions.items()]
        samples += own
        pooled = [one for one in own if isinstance(one, Pooled)]
        if pooled and (intervals or len(own) > 1):
            draw_together(pooled, None, seed)
    asked = samples if intervals or len(predictions) > 1 else []
    of_means = {(one.system, str(one.measure)): one.interval(level, None, seed) for one in asked}
    samples.sort(key=lambda one: list(predictions).index(one.system))
    found = contrasts(samples, baseline, tests=tests, level=level, seed=seed)
    return Comparison(baseline, tuple(tests), tuple(corrected(found)), of_means, level)


def _comparable(evaluations: Sequence[Evaluation], names: list[str]) -> None:
    if not evaluations:
        raise DataError("compare: no run was given")
    if len(set(names)) < len(names):
        raise DataError(f"compare: runs need distinct names, got {', '.join(names)}")
    first = evaluations[0]
    for other in evaluations[1:]:
        if other.query_ids != first.query_ids or list(other.values) != list(first.values):
            raise DataError(f"compare: {first.run} and {other.run} were measured on different queries or measures")
