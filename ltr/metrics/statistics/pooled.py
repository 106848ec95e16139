"""Pooled label measures of many resamples at once: a resample is how often each document counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ltr.metrics.measures.focus import kendall, top_count
from ltr.metrics.measures.label_measures import LabelMeasure

#: array cells (resamples x documents) that are worked on at a time
CELLS = 2_000_000

#: documents beyond twice the number wanted that are looked at first, for measures of the highest ones
MORE = 64

#: documents' numbers -> [resamples, documents] how often each counts
Take = Callable[[np.ndarray], np.ndarray]


class Descending:
    """Documents sorted by falling value, equal ones together in groups.

    Args:
        values: [documents].
    """

    def __init__(self, values: np.ndarray):
        self.order = np.argsort(-values, kind="stable")
        ordered = values[self.order]
        self.starts = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1])
        #: group of each document, in the documents' own order
        self.group = np.empty(len(values), np.int64)
        self.group[self.order] = np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, len(values))))

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """[resamples, groups] sums over each group of [resamples, documents]."""
        return _grouped(weights[:, self.order], self.starts)

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """[resamples, documents] mean rank of each document (from 1 at the top) where each counts ``weights`` times."""
        sums = self.sums(weights)
        return (np.cumsum(sums, axis=1) - (sums - 1) / 2)[:, self.group]

    def head(self, take: Take, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The groups from the top that hold ``counts`` documents in every resample; nothing below them is looked at.

        Returns:
            (documents from the top, [resamples, documents] their weights, starts of their groups).
        """
        reach = min(len(self.order), 2 * int(counts.max(initial=0)) + MORE)
        while True:
            groups = int(np.searchsorted(self.starts, reach))
            end = int(self.starts[groups]) if groups < len(self.starts) else len(self.order)
            weights = take(self.order[:end])
            if end == len(self.order) or (weights.sum(axis=1) >= counts).all():
                return self.order[:end], weights, self.starts[:groups]
            reach = min(len(self.order), 2 * end)

    def first(self, weights: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(sums over each group, the group that holds place ``counts`` from the top), for each resample."""
        sums = self.sums(weights)
        return sums, np.argmax(np.cumsum(sums, axis=1) >= counts[:, None], axis=1)


def _grouped(ordered: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """[resamples, groups] sums over groups of columns that stand together."""
    return ordered if len(starts) == ordered.shape[1] else np.add.reduceat(ordered, starts, axis=1)


class Resampled:
    """A pooled measure of several predictions of the same documents, for many resamples.

    A document that is drawn m times counts as m documents with the same label and prediction. Each resample has its own
    top share of the labels. Values equal ``measure.pooled`` on the repeated documents.

    Args:
        measure: a pooled measure.
        predictions: [seeds, documents].
        labels: [documents].
        gains: [documents].
    """

    def __init__(self, measure: LabelMeasure, predictions: np.ndarray, labels: np.ndarray, gains: np.ndarray):
        self.measure, self.predictions, self.labels, self.gains = measure, predictions, labels, gains
        self.by_label = Descending(labels)
        self._by_prediction: list[Descending] = []

    @property
    def by_prediction(self) -> list[Descending]:
        """The documents by the predictions of each seed; sorted on first use, since errors do not need it."""
        if not self._by_prediction:
            self._by_prediction = [Descending(p) for p in self.predictions]
        return self._by_prediction

    def values(self, weights: np.ndarray) -> np.ndarray:
        """[resamples, seeds] values; NaN where a resample leaves the measure undefined.

        Args:
            weights: [resamples, documents] how often each document counts, whole numbers.
        """
        rows = max(1, CELLS // max(1, weights.shape[1]))
        parts = [self._values(weights[i : i + rows].astype(np.float64)) for i in range(0, len(weights), rows)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.predictions)))

    def _values(self, w: np.ndarray) -> np.ndarray:
        name = self.measure.name.partition("_")[0]
        if name == "ndcg":
            return self.ndcg(lambda docs: w[:, docs], w.sum(axis=1))
        inside = self._region(w)
        if name == "precision":
            return self.precision(lambda docs: w[:, docs], inside, (w * inside).sum(axis=1))
        w = w * inside
        with np.errstate(invalid="ignore", divide="ignore"):
            if name in ("rmse", "mae"):
                error = np.abs(self.predictions - self.labels)
                total = w @ (error**2 if name == "rmse" else error).T / w.sum(axis=1, keepdims=True)
                return np.sqrt(total) if name == "rmse" else total
            if name == "r2":
                return self._r2(w)
            return self._spearman(w) if name == "spearman" else self._kendall(w)

    def _region(self, w: np.ndarray) -> np.ndarray:
        """[resamples, documents] bool (or all 1): the measure's region of the labels in each resample."""
        if not self.measure.kind.region:
            return np.ones((1, 1), bool)
        assert self.measure.share is not None
        counts = np.array([top_count(n, self.measure.share) for n in w.sum(axis=1)])
        _, last = self.by_label.first(w, counts)
        top = self.by_label.group <= last[:, None]
        return ~top if self.measure.kind.region == "rest" else top

    def _r2(self, w: np.ndarray) -> np.ndarray:
        means = w @ self.labels / w.sum(axis=1)
        spread = np.einsum("rd,rd->r", w, (self.labels - means[:, None]) ** 2)
        differing = (self.by_label.sums(w) > 0).sum(axis=1) > 1
        r2 = 1 - w @ ((self.predictions - self.labels) ** 2).T / spread[:, None]
        return np.where(differing[:, None], r2, np.nan)

    def _spearman(self, w: np.ndarray) -> np.ndarray:
        n = w.sum(axis=1)
        middle = (n + 1) / 2
        ys = self.by_label.ranks(w) - middle[:, None]
        spread = _squares(n, self.by_label.sums(w))
        ys *= w
        columns = []
        for falling in self.by_prediction:
            sums = falling.sums(w)
            xs = np.cumsum(sums, axis=1) - (sums - 1) / 2 - middle[:, None]
            both = np.einsum("rg,rg->r", xs, falling.sums(ys))
            columns.append(both / np.sqrt(_squares(n, sums) * spread))
        return np.stack(columns, axis=1)

    def _kendall(self, w: np.ndarray) -> np.ndarray:
        drawn = [np.repeat(np.arange(w.shape[1]), row.astype(np.int64)) for row in w]
        return np.array([[kendall(p[at], self.labels[at]) for p in self.predictions] for at in drawn])

    def precision(self, take: Take, inside: np.ndarray, n: np.ndarray) -> np.ndarray:
        """[resamples, seeds] share of the region among as many highest predictions.

        Args:
            take: the weights.
            inside: [resamples or 1, documents] whether a document is in the region.
            n: [resamples] weight of the region.
        """
        rows = np.arange(len(n))
        columns = []
        for falling in self.by_prediction:
            docs, weights, starts = falling.head(take, n)
            sums, right = (_grouped(w, starts) for w in (weights, weights * inside[:, docs]))
            ends = np.cumsum(sums, axis=1)
            last = np.argmax(ends >= n[:, None], axis=1)
            above = ends[rows, last] - sums[rows, last]
            hits = np.cumsum(right, axis=1)[rows, last] - right[rows, last]
            columns.append((hits + (n - above) * right[rows, last] / sums[rows, last]) / n)
        return np.stack(columns, axis=1)

    def ndcg(self, take: Take, n: np.ndarray) -> np.ndarray:
        """[resamples, seeds] nDCG of all documents as one list.

        Args:
            take: the weights.
            n: [resamples] weight of all documents.
        """
        most = int(n.max())
        cutoff = min(self.measure.cutoff or most, most)
        until = discounts_until(cutoff, most)
        counts = np.minimum(n, cutoff)
        ideal = self._dcg(Descending(self.gains), take, counts, until)
        dcg = np.stack([self._dcg(falling, take, counts, until) for falling in self.by_prediction], axis=1)
        return np.where(ideal[:, None] > 0, dcg / np.where(ideal > 0, ideal, 1.0)[:, None], 0.0)

    def _dcg(self, falling: Descending, take: Take, counts: np.ndarray, until: np.ndarray) -> np.ndarray:
        """[resamples] discounted gains, those of a group of equal documents shared among them."""
        docs, weights, starts = falling.head(take, counts)
        sums = _grouped(weights, starts)
        gains = _grouped(weights * self.gains[docs], starts) / np.where(sums > 0, sums, 1.0)
        ends = np.cumsum(sums, axis=1).astype(np.int64)
        return (gains * (until[ends] - until[ends - sums.astype(np.int64)])).sum(axis=1)


def discounts_until(cutoff: int, n: int) -> np.ndarray:
    """[n + 1] sums of nDCG's discounts over the first 0 to n places; beyond the cutoff nothing is added.

    >>> discounts_until(1, 3).tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    until = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, cutoff + 2))), np.zeros(n - cutoff)])
    until[cutoff + 1 :] = until[cutoff]
    return until


def _squares(n: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """[resamples] sum of the squared, centred ranks of ``n`` documents in groups of equal ones of [resamples, groups]."""
    return (n**3 - np.einsum("rg,rg,rg->r", sums, sums, sums)) / 12  # a third power takes ten times as long


def drawn_lists(n_lists: int, resamples: int, seed: int) -> np.ndarray:
    """[resamples, lists] how often each list is drawn when as many lists are drawn with replacement."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, n_lists, n_lists), minlength=n_lists) for _ in range(resamples)])
