"""What a system with several seeds predicted, for measures that pool the documents of all lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltr.errors import DataError, ShapeError
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.labels import LabelledLists, per_list
from ltr.metrics.statistics.paired import Test
from ltr.metrics.statistics.pooled import Resampled, drawn_lists, swapped, swaps
from ltr.metrics.statistics.samples import Paired, PerQuery, predictions_of

#: bootstrap draws of pooled measures (each recomputes the measure), by the measure's name before ``_``
POOLED_DRAWS = {"rmse": 2000, "mae": 2000, "kendall": 200}
#: ... of all others, which rank
RANKED_DRAWS = 500
#: permutations of pooled measures, likewise
POOLED_PERMUTATIONS = {"kendall": 200}
RANKED_PERMUTATIONS = 1000
#: where fewer permutations are as large, p comes from the normal tail of the permutation distribution
COUNTED = 10


class Pooled:
    """Predictions of a system whose documents are pooled to measure them.

    Intervals resample whole lists and recompute the measure, top share included (cluster bootstrap, percentiles): 2,000
    draws for errors, 500 where ranks are needed, 200 for Kendall's tau. The randomisation test lets two systems change
    places list by list, 1,000 times (Kendall 200; up to 10 lists all ways). p is ``(1 + as large) / (1 + permutations)``
    where at least 10 are as large, and the normal tail at the permutations' standard deviation beyond, so that Holm's
    correction over a large table has more than the smallest p of so few permutations to work on.

    Args:
        system: name of the system.
        measure: a pooled measure of labels.
        predictions: [seeds, documents] in the order of the labels.
        truth: the labels.
        data: name of the data set.

    Raises:
        ShapeError: predictions that are not [seeds, documents].
        DataError: predictions that are not finite, or a measure that has values per query (see ``sample``).
    """

    def __init__(
        self,
        system: str,
        measure: str | LabelMeasure,
        predictions: np.ndarray,
        truth: LabelledLists,
        data: str = "",
    ):
        self.system, self.measure, self.data = system, LabelMeasure.parse(measure), data
        self.predictions, self.truth = predictions_of(system, predictions, truth), truth
        if self.measure.per_query:
            raise DataError(f"{system}: {self.measure} has values per query; use sample() or PerQuery")
        self._drawn: dict[tuple[int, int], np.ndarray] = {}

    @property
    def n_queries(self) -> int:
        """Number of lists."""
        return len(self.truth)

    @property
    def seed_means(self) -> np.ndarray:
        """[seeds] values; NaN where undefined."""
        t = self.truth
        return np.array([self.measure.pooled(p, t.labels, t.gains) for p in self.predictions])

    def same_queries(self, other: object) -> bool:
        """Whether another sample has the same lists with the same labels."""
        if not isinstance(other, Pooled):
            return False
        a, b = self.truth, other.truth
        return a is b or (a.query_ids == b.query_ids and bool(np.array_equal(a.offsets, b.offsets)
                          and np.array_equal(a.labels, b.labels) and np.array_equal(a.gains, b.gains)))  # fmt: skip

    def drawn(self, resamples: int | None, seed: int) -> np.ndarray:
        """[resamples] means over seeds on resampled lists; the same lists for all systems with the same seed."""
        n = resamples or POOLED_DRAWS.get(self.measure.name.partition("_")[0], RANKED_DRAWS)
        if (n, seed) not in self._drawn:
            t = self.truth
            weights = np.repeat(drawn_lists(len(t), n, seed), np.diff(t.offsets), axis=1)
            found = Resampled(self.measure, self.predictions, t.labels, t.gains).values(weights)
            self._drawn[n, seed] = found.mean(axis=1)
        return self._drawn[n, seed]

    def interval(self, level: float, resamples: int | None, seed: int) -> tuple[float, float]:
        """Bootstrap interval over lists (percentiles), of the mean over seeds; NaN for a single list."""
        return _percentiles(self.drawn(resamples, seed), level, len(self.truth))

    def paired(
        self,
        baseline: Pooled,
        level: float,
        resamples: int | None,
        permutations: int | None,
        seed: int,
        tests: Sequence[Test],
    ) -> Paired:
        """The difference of the means over seeds, on the data and on the same resamples for both."""
        if len(self.predictions) != len(baseline.predictions):
            raise ShapeError(
                f"contrast: {self.measure} swaps predictions seed by seed, so {self.system} and {baseline.system} need "
                f"equally many seeds, got {len(self.predictions)} and {len(baseline.predictions)}"
            )
        difference = float(self.seed_means.mean() - baseline.seed_means.mean())
        drawn = self.drawn(resamples, seed) - baseline.drawn(resamples, seed)
        error = float(np.nanstd(drawn, ddof=1)) if _usable(drawn, len(self.truth)) else float("nan")
        p: dict[str, float] = {}
        for test in tests:
            if test == "student":
                p[test] = _t_tail(difference, error, len(self.truth))
            else:
                p[test] = self._randomised(baseline, difference, permutations, seed)
        return Paired(difference, *_percentiles(drawn, level, len(self.truth)), error, None, p)

    def _randomised(self, baseline: Pooled, difference: float, permutations: int | None, seed: int) -> float:
        if np.isnan(difference):
            return float("nan")
        n = permutations or POOLED_PERMUTATIONS.get(self.measure.name.partition("_")[0], RANKED_PERMUTATIONS)
        flips, exact = swaps(len(self.truth), n, seed)
        blocks = swapped(self.measure, self.predictions, baseline.predictions, self.truth, flips)
        found = np.concatenate(list(blocks))
        found = np.where(np.isnan(found), np.inf, found)  # whatever cannot be computed speaks for chance
        larger = int((np.abs(found) >= abs(difference) - 1e-12).sum())
        if exact:
            return larger / len(found)
        counted = (1 + larger) / (1 + len(found))
        if larger >= COUNTED:
            return counted
        from scipy.special import ndtr

        spread = np.sqrt(np.mean(found[np.isfinite(found)] ** 2))
        return float(min(2 * ndtr(-abs(difference) / spread), (1 + COUNTED) / (1 + len(found)))) if spread else counted


#: what a system scored, of either sort
Sample = PerQuery | Pooled


def sample(
    system: str, measure: str | LabelMeasure, predictions: np.ndarray, truth: LabelledLists, data: str = ""
) -> Sample:
    """Predictions of several seeds as the sort of sample that a measure of labels takes.

    Args:
        system: name of the system.
        measure: a measure of labels.
        predictions: [seeds, documents] in the order of the labels.
        truth: the labels.
        data: name of the data set.
    """
    chosen = LabelMeasure.parse(measure)
    if not chosen.per_query:
        return Pooled(system, chosen, predictions, truth, data)
    rows = predictions_of(system, predictions, truth)
    return PerQuery(system, chosen, np.stack([per_list(chosen, p, truth) for p in rows]), truth.query_ids, data)


def _usable(drawn: np.ndarray, n: int) -> bool:
    """Whether an interval means something: several lists, and a measure that hardly any resample leaves undefined."""
    return n > 1 and bool(np.isnan(drawn).mean() <= 0.05)


def _percentiles(drawn: np.ndarray, level: float, n: int) -> tuple[float, float]:
    if not _usable(drawn, n):
        return float("nan"), float("nan")
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _t_tail(difference: float, error: float, n: int) -> float:
    from scipy.special import stdtr

    if np.isnan(difference) or np.isnan(error):
        return float("nan")
    if error == 0:
        return 0.0 if difference else 1.0
    return float(2 * stdtr(n - 1, -abs(difference) / error))
