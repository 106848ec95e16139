"""What a system with several seeds scored, as values per query; and what two samples differ in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ltr.errors import DataError, ShapeError
from ltr.io.labelled import LabelledLists
from ltr.metrics.engine import Evaluation
from ltr.metrics.measures.labels import LabelEvaluation
from ltr.metrics.measures.measure import AnyMeasure, parse
from ltr.metrics.statistics.bootstrap import bootstrap
from ltr.metrics.statistics.p_values import PERMUTATIONS, PermutationTest, Test, p_values, spread

#: draws of the bootstrap for values per query
DRAWS = 10_000
#: differences up to this count as ties
EQUAL = 1e-9


@dataclass(frozen=True)
class Paired:
    """Two samples compared: difference with interval, its standard error, (wins, ties, losses) by value, p-values
    and how those of randomisation tests were counted."""

    difference: float
    low: float
    high: float
    error: float
    counts: tuple[int, int, int] | None
    p: dict[str, float]
    counted: dict[str, PermutationTest] = field(default_factory=dict)


class PerQuery:
    """Values of one measure, for each seed and query.

    Args:
        system: name of the system.
        measure: what was measured.
        values: [seeds, queries].
        query_ids: one per query; only samples with the same ids are compared.
        data: name of the data set.

    Raises:
        ShapeError: values that are not [seeds, queries].
        DataError: values that are not finite.
    """

    def __init__(
        self, system: str, measure: str | AnyMeasure, values: np.ndarray, query_ids: Sequence[str], data: str = ""
    ):
        self.system, self.measure, self.data = system, parse(measure), data
        self.values, self.query_ids = np.asarray(values, np.float64), list(query_ids)
        if self.values.ndim != 2 or not len(self.values) or self.values.shape[1] != len(self.query_ids):
            raise ShapeError(
                f"{system}: values must be [seeds, queries] with {len(self.query_ids)} queries, got {self.values.shape}"
            )
        if not np.isfinite(self.values).all():
            seed, query = np.argwhere(~np.isfinite(self.values))[0]
            raise DataError(
                f"{system}: {self.measure} must be finite, got {self.values[seed, query]} for seed {seed}, "
                f"query {self.query_ids[query]}"
            )

    @classmethod
    def of(
        cls,
        system: str,
        measure: str | AnyMeasure,
        evaluations: Sequence[Evaluation | LabelEvaluation],
        data: str = "",
    ) -> PerQuery:
        """From one evaluation per seed.

        Raises:
            DataError: evaluations of different queries.
        """
        ids = evaluations[0].query_ids
        if any(e.query_ids != ids for e in evaluations):
            raise DataError(f"{system}: its {len(evaluations)} seeds must be measured on the same queries in one order")
        return cls(system, measure, np.stack([e.values[str(parse(measure))] for e in evaluations]), ids, data)

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.query_ids)

    @property
    def seed_means(self) -> np.ndarray:
        """[seeds] mean over queries."""
        return self.values.mean(axis=1)

    def same_queries(self, other: object) -> bool:
        """Whether another sample has the same queries in the same order."""
        return isinstance(other, PerQuery) and self.query_ids == other.query_ids

    def interval(self, level: float, resamples: int | None, seed: int) -> tuple[float, float]:
        """Bootstrap interval (BCa) over queries, of the mean over seeds; NaN for a single query."""
        return bootstrap(self.values.mean(axis=0), level, resamples or DRAWS, seed)

    def paired(
        self,
        baseline: PerQuery,
        level: float,
        resamples: int | None,
        permutations: int | None,
        seed: int,
        tests: Sequence[Test],
    ) -> Paired:
        """The differences of each query's mean over seeds."""
        d = self.values.mean(axis=0) - baseline.values.mean(axis=0)
        interval = bootstrap(d, level, resamples or DRAWS, seed)
        return paired_queries(d, interval, tests, permutations or PERMUTATIONS, seed)


def paired_queries(
    differences: np.ndarray, interval: tuple[float, float], tests: Sequence[Test], permutations: int, seed: int
) -> Paired:
    """What the differences of two systems on the same queries say.

    Args:
        differences: [queries].
        interval: of their mean, from ``bootstrap``.
        tests: the tests to do.
        permutations: random sign flips of Fisher's test.
        seed: of them.
    """
    d = differences
    larger, smaller = int((d > EQUAL).sum()), int((d < -EQUAL).sum())
    p, counts = p_values(tests, d, permutations, seed)
    error = spread(d) / float(np.sqrt(len(d)))
    return Paired(float(d.mean()), *interval, error, (larger, len(d) - larger - smaller, smaller), p, counts)


def predictions_of(system: str, predictions: np.ndarray, truth: LabelledLists) -> np.ndarray:
    """[seeds, documents] float64, checked against the labels. Raises ShapeError, DataError."""
    p = np.asarray(predictions, np.float64)
    if p.ndim != 2 or not len(p) or p.shape[1] != len(truth.labels):
        raise ShapeError(
            f"{system}: predictions must be [seeds, documents] with {len(truth.labels)} documents, got {p.shape}"
        )
    if not np.isfinite(p).all():
        seed, at = np.argwhere(~np.isfinite(p))[0]
        raise DataError(f"{system}: predictions must be finite, got {p[seed, at]} for seed {seed}, document {at}")
    return p


def detectable(error: float, n: int, level: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that a paired two-sided test on n queries finds with the given power.

    ``(t(1 - level/2, n - 1) + t(power, n - 1)) * error``, t(q, f) being Student's quantile: about 2.8 standard errors for
    many queries. The standard error is that of the mean difference: the standard deviation of the queries' differences
    over the root of n (pooled measures: from the bootstrap).

    Args:
        error: standard error of the difference.
        n: queries (lists).
        level: chance of finding a difference that is not there.
        power: chance of finding one that is.

    Source: J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 2.

    >>> round(detectable(0.01, 1_000_000), 5)
    0.02802
    """
    from scipy.special import stdtrit

    return float((stdtrit(n - 1, 1 - level / 2) + stdtrit(n - 1, power)) * error) if n > 1 else float("nan")
