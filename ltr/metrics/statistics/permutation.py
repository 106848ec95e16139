"""Two systems change places on some lists: the difference of a pooled measure for many such exchanges at once.

Whatever a measure needs of a mixture of two systems is a sum over lists of what either of them put there, so that a block
of exchanges is one product of a table, with a column for each list, and the exchanges.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np

from ltr.io.labelled import LabelledLists
from ltr.metrics.measures.focus import top_share
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.statistics.pooled import CELLS, Descending, Resampled, discounts_until

#: measures that see the order of predictions only, by their name before ``_``
ORDERS = frozenset({"spearman", "kendall", "precision", "ndcg"})
#: up to so many lists all exchanges are counted
EXACT = 10
#: exchanges in one block
ROWS = 1000


def exchanges(n_lists: int, permutations: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of [exchanges, lists] 0 or 1: whether two systems change places on a list.

    Args:
        n_lists: number of lists; up to 10 all ways come in one block.
        permutations: how many to draw where there are more lists.
        seed: of the draws.
    """
    if n_lists <= EXACT:
        yield ((np.arange(2**n_lists)[:, None] >> np.arange(n_lists)) & 1).astype(np.uint8)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, permutations, ROWS):
        yield rng.integers(0, 2, (min(ROWS, permutations - start), n_lists), np.uint8)


class Permuted:
    """The difference of the seed means of a pooled measure (first - second) when the systems change places on lists.

    A measure of values (``rmse``, ``mae``) takes the predictions as they are. A measure of order (``spearman``,
    ``kendall``, ``precision_top``, ``ndcg_pooled``) takes each seed's ranks, equal predictions at their mean rank, among
    the documents that it looks at: in the region for ``spearman_top``, all for ``precision_top``. So a strictly
    increasing change of a system's scores changes no difference, as it changes no value of the measure, and both systems
    lie on one scale before they are mixed. The mixture is ranked again before it is measured.

    Args:
        measure: a pooled measure.
        first: [seeds, documents] predictions of one system.
        second: [seeds, documents] of the other.
        truth: the labels.
    """

    def __init__(self, measure: LabelMeasure, first: np.ndarray, second: np.ndarray, truth: LabelledLists):
        name = measure.name.partition("_")[0]
        owner = np.repeat(np.arange(len(truth)), np.diff(truth.offsets))
        self.measure, self.n_lists = measure, len(truth)
        self.focus = np.ones(len(owner), bool)
        if measure.share is not None:
            self.focus = top_share(truth.labels, measure.share) ^ (measure.kind.region == "rest")
        seen = np.ones(len(owner), bool) if name == "precision" else self.focus
        self.owner, self.labels, self.gains = owner[seen], truth.labels[seen], truth.gains[seen]
        self.focus = self.focus[seen]
        self.sides = [side[:, seen] for side in (first, second)]
        if name in ORDERS:
            self.sides = [np.stack([mean_ranks(p) for p in side]) for side in self.sides]
        if not len(self.labels):
            self._differences = self._undefined
        elif name in ("rmse", "mae"):
            self._differences = self._errors
        elif name in ("spearman", "precision", "ndcg"):
            self.merged = [MergedValues(a, b, self.owner, self.n_lists) for a, b in zip(*self.sides, strict=True)]
            self._differences = {"spearman": self._spearman, "precision": self._precision, "ndcg": self._ndcg}[name]
        else:
            self._differences = self._resampled

    def differences(self, exchanged: np.ndarray) -> np.ndarray:
        """[exchanges] differences; NaN where an exchange leaves the measure undefined.

        Args:
            exchanged: [exchanges, lists] 1 where the systems change places.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            rows = max(1, CELLS // (2 * max(1, len(self.labels))))
            blocks = [self._differences(exchanged[i : i + rows]) for i in range(0, len(exchanged), rows)]
        return np.concatenate(blocks)

    def _undefined(self, exchanged: np.ndarray) -> np.ndarray:
        return np.full(len(exchanged), np.nan)

    def _errors(self, exchanged: np.ndarray) -> np.ndarray:
        first, second = self._sums_of_errors
        one = first.sum(axis=0) + exchanged @ (second - first)
        other = first.sum(axis=0) + second.sum(axis=0) - one
        means = [np.maximum(side, 0) / len(self.labels) for side in (one, other)]  # rounding may end below 0
        one, other = map(np.sqrt, means) if self.measure.name.startswith("rmse") else means
        return (one - other).mean(axis=1)

    @cached_property
    def _sums_of_errors(self) -> list[np.ndarray]:
        """[lists, seeds] of either system."""
        power = 2 if self.measure.name.startswith("rmse") else 1
        errors = [np.abs(side - self.labels) ** power for side in self.sides]
        return [np.stack([np.bincount(self.owner, seed, self.n_lists) for seed in side], axis=1) for side in errors]

    def _spearman(self, exchanged: np.ndarray) -> np.ndarray:
        n = len(self.labels)
        labels = mean_ranks(self.labels) - (n + 1) / 2
        spread = labels @ labels
        sums = np.zeros(len(exchanged))
        for merged in self.merged:
            counts, ranked = merged.sums(np.ones(n), exchanged), merged.sums(labels, exchanged)
            values = []
            for number, ends, total in zip(counts, cumulated(*counts), ranked, strict=True):
                ranks = (number + n) / 2 - ends  # from the middle, the largest value highest
                own = np.einsum("sr,sr,sr->r", number, ranks, ranks)
                values.append(np.einsum("sr,sr->r", ranks, total) / np.sqrt(own * spread))
            sums += values[0] - values[1]
        return sums / len(self.merged)

    def _precision(self, exchanged: np.ndarray) -> np.ndarray:
        n = int(self.focus.sum())
        sums = np.zeros(len(exchanged))
        for merged in self.merged:
            sums += np.subtract(*(_hits_within(*side, n) for side in _top(merged, self.focus * 1.0, exchanged, n)))
        return sums / len(self.merged) / n

    def _ndcg(self, exchanged: np.ndarray) -> np.ndarray:
        n = len(self.gains)
        cutoff = min(self.measure.cutoff or n, n)
        until = discounts_until(cutoff, n)
        ideal = float(np.sort(self.gains)[::-1] @ np.diff(until))
        sums = np.zeros(len(exchanged))
        for merged in self.merged:
            sums += np.subtract(*(_dcg(*side, until) for side in _top(merged, self.gains, exchanged, cutoff)))
        return sums / len(self.merged) / ideal if ideal > 0 else np.zeros(len(exchanged))

    def _resampled(self, exchanged: np.ndarray) -> np.ndarray:
        """Each side measured as any other documents are: all lie in one pool, of which a side takes one per document."""
        plain = LabelMeasure(self.measure.name.partition("_")[0])
        pool = Resampled(plain, np.concatenate(self.sides, axis=1), np.tile(self.labels, 2), np.tile(self.gains, 2))
        flip = exchanged[:, self.owner].astype(np.int64)
        one = np.concatenate([1 - flip, flip], axis=1)
        return pool.values(one).mean(axis=1) - pool.values(1 - one).mean(axis=1)


class MergedValues:
    """The distinct values of two systems as steps, the largest first; each side takes each document from one of them.

    Args:
        first: [documents] values of one system.
        second: [documents] of the other.
        owner: [documents] the number of each document's list.
        n_lists: number of lists.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray, owner: np.ndarray, n_lists: int):
        values, step = np.unique(-np.concatenate([first, second]), return_inverse=True)
        self.step, self.owner, self.shape = step, owner, (len(values), n_lists)

    def sums(
        self, values: np.ndarray, exchanged: np.ndarray, steps: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """[steps, exchanges] sums of the documents' values on each step: of the side that is the first system where
        nothing is exchanged, and of the other.

        Args:
            values: [documents].
            exchanged: [exchanges, lists].
            steps: how many from the top; default: all.
        """
        from scipy.sparse import csr_array

        n, steps = len(values), steps or self.shape[0]
        first, second = self.step[:n], self.step[n:]
        base = np.bincount(first, values, self.shape[0])[:steps, None]
        total = base + np.bincount(second, values, self.shape[0])[:steps, None]
        at = (self.step, np.tile(self.owner, 2))
        change = csr_array((np.concatenate([-values, values]), at), shape=self.shape)[:steps]
        one = base + change @ np.ascontiguousarray(exchanged.T, np.float64)
        return one, total - one


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """[documents] ranks from 1 for the smallest value, equal ones at their mean rank.

    >>> mean_ranks(np.array([0.5, 9.0, 0.5])).tolist()
    [1.5, 3.0, 1.5]
    """
    return len(values) + 1 - Descending(values).ranks(np.ones((1, len(values))))[0]


def cumulated(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``np.cumsum`` over the first axis of two sides whose sum is the same in each column.

    Row by row, that takes a sixth of NumPy's time, which goes down each column on its own.

    >>> cumulated(np.array([[1.0], [2.0]]), np.array([[4.0], [3.0]]))[1].tolist()
    [[4.0], [7.0]]
    """
    ends = one.copy()
    for above, row in pairwise(ends):
        row += above
    return ends, np.cumsum(one[:, 0] + other[:, 0])[:, None] - ends


def _top(
    merged: MergedValues, values: np.ndarray, exchanged: np.ndarray, depth: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(numbers, their sums from the top, sums of values) on the steps where a side's first ``depth`` documents can be."""
    counts = merged.sums(np.ones(len(values)), exchanged)
    ends = cumulated(*counts)
    steps = int(np.argmax(np.minimum(*(side.min(axis=1) for side in ends)) >= depth)) + 1
    for number, end, total in zip(counts, ends, merged.sums(values, exchanged, steps), strict=True):
        yield number[:steps], end[:steps], total


def _hits_within(counts: np.ndarray, ends: np.ndarray, right: np.ndarray, n: int) -> np.ndarray:
    """[exchanges] how many right ones are among the first n; documents of a step that n divides count their share."""
    last = np.argmax(ends >= n, axis=0)[None]
    within, rights, end = (np.take_along_axis(x, last, 0)[0] for x in (counts, right, ends))
    hits = np.where(np.arange(len(right))[:, None] < last, right, 0).sum(axis=0)
    return hits + (n - (end - within)) * rights / within


def _dcg(counts: np.ndarray, ends: np.ndarray, gains: np.ndarray, until: np.ndarray) -> np.ndarray:
    """[exchanges] discounted gains, those of a step shared among its documents."""
    reached = until[ends.astype(np.int64)]
    discounts = np.diff(reached, axis=0, prepend=0.0)
    return np.einsum("sr,sr->r", gains / np.maximum(counts, 1), discounts)
