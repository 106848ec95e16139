"""What a system with several seeds predicted, for measures that pool the documents of all lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltr.errors import DataError, ShapeError
from ltr.io.labelled import LabelledLists
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.labels import per_list
from ltr.metrics.statistics.p_values import PERMUTATIONS, ROUNDING, PermutationTest, Test, sequential_test
from ltr.metrics.statistics.permutation import EXACT, Permuted, exchanges
from ltr.metrics.statistics.pooled import CELLS, Resampled, drawn_lists
from ltr.metrics.statistics.samples import Paired, PerQuery, predictions_of

#: bootstrap draws of pooled measures (each recomputes the measure), by the measure's name before ``_``
POOLED_DRAWS = {"rmse": 2000, "mae": 2000, "r2": 2000, "kendall": 200}
#: ... of all others, which rank
RANKED_DRAWS = 500
#: permutations of pooled measures at most, likewise: what an exchange costs decides
POOLED_PERMUTATIONS = {"rmse": PERMUTATIONS, "mae": PERMUTATIONS, "kendall": 1000}
RANKED_PERMUTATIONS = 10_000
#: so many are drawn in any case (Kendall: 200), and then on until so many are as large
LEAST, LEAST_KENDALL, ENOUGH = 1000, 200, 20


class Pooled:
    """Predictions of a system whose documents are pooled to measure them.

    Intervals resample whole lists and recompute the measure, top share included (cluster bootstrap, percentiles): 2,000
    draws for errors, 500 where ranks are needed, 200 for Kendall's tau.

    The randomisation test lets two systems change places list by list, all seeds at once, and measures both mixtures. Its
    null hypothesis is that the systems are exchangeable list by list: which of them predicted a list is a toss of a coin.
    What changes places is what the measure sees. For errors these are the predictions themselves. For measures of order
    (Spearman, Kendall, precision of the top, nDCG) these are each seed's pooled ranks, equal predictions at their mean
    rank, among the documents that the measure looks at (see ``Permuted``): offset and scale of a system's scores are no
    part of the hypothesis, and no strictly increasing change of them changes p.

    p is ``(1 + as large) / (1 + drawn)``: 1,000 exchanges are drawn (Kendall 200) and, where fewer than 20 are as large, on
    until 20 are or 100,000 (errors), 10,000 (order), 1,000 (Kendall) have been drawn. So p is never below 1e-5, 1e-4, 1e-3,
    and after Holm's correction over m comparisons never below m times that. Up to 10 lists all ways are counted, and p is
    exact.

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
        n = self._draws(resamples)
        if (n, seed) not in self._drawn:
            draw_together([self], resamples, seed)
        return self._drawn[n, seed]

    def _draws(self, resamples: int | None) -> int:
        return resamples or POOLED_DRAWS.get(self.measure.name.partition("_")[0], RANKED_DRAWS)

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
        counts: dict[str, PermutationTest] = {
            t: self._randomised(baseline, difference, permutations, seed) for t in tests if t == "fisher"
        }
        p: dict[str, float] = {
            t: counts[t].p if t in counts else _t_tail(difference, error, len(self.truth)) for t in tests
        }
        ends = _percentiles(drawn, level, len(self.truth))
        return Paired(difference, *ends, error, None, p, counts)

    def _randomised(self, baseline: Pooled, difference: float, permutations: int | None, seed: int) -> PermutationTest:
        if np.isnan(difference):
            return PermutationTest(float("nan"))
        kind = self.measure.name.partition("_")[0]
        most = permutations or POOLED_PERMUTATIONS.get(kind, RANKED_PERMUTATIONS)
        exchanged = Permuted(self.measure, self.predictions, baseline.predictions, self.truth)
        # values of one size that are summed in another order differ by rounding
        bound = abs(difference) - 1e-12 * float(np.abs([self.seed_means, baseline.seed_means]).max())
        # whatever cannot be computed speaks for chance
        as_large = (~(np.abs(exchanged.differences(block)) < bound) for block in exchanges(len(self.truth), most, seed))
        if len(self.truth) <= EXACT:
            return PermutationTest(float(np.mean(next(as_large))))
        return sequential_test(as_large, most, LEAST_KENDALL if kind == "kendall" else LEAST, ENOUGH)


def draw_together(samples: Sequence[Pooled], resamples: int | None = None, seed: int = 0) -> None:
    """Draw the resamples of several systems at once, each to keep its own: what depends on the labels alone is worked out once.

    Args:
        samples: of one measure and the same lists.
        resamples, seed: see ``Pooled.drawn``, which gives what was drawn.
    """
    one = samples[0]
    n, t = one._draws(resamples), one.truth
    lists, sizes = drawn_lists(len(t), n, seed), np.diff(t.offsets)
    resampled = Resampled(one.measure, np.concatenate([s.predictions for s in samples]), t.labels, t.gains)
    rows = max(1, CELLS // max(1, len(t.labels)))  # 2,000 draws of 240,000 documents at once would take 4 GB
    parts = [lists[at : at + rows] for at in range(0, n, rows)]
    drawn = np.concatenate([resampled.values(np.repeat(part, sizes, axis=1)) for part in parts])
    ends = np.cumsum([len(s.predictions) for s in samples])[:-1]
    for each, values in zip(samples, np.split(drawn, ends, axis=1), strict=True):
        each._drawn[n, seed] = values.mean(axis=1)


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
    """Two-sided p of a difference over its standard error; 1 where nothing differs, NaN where it is undefined."""
    from scipy.special import stdtr

    if np.isnan(difference) or np.isnan(error):
        return float("nan")
    if error <= ROUNDING * abs(difference):  # without spread t is infinite however few lists there are
        return float("nan") if difference else 1.0
    return float(2 * stdtr(n - 1, -abs(difference) / error))
