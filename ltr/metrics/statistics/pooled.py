"""Pooled label measures of many resamples at once: a resample is how often each document counts."""

from __future__ import annotations

import numpy as np

from ltr.metrics.measures.focus import kendall, top_count
from ltr.metrics.measures.label_measures import LabelMeasure

#: array cells (resamples x documents) that are worked on at a time
CELLS = 2_000_000


class Falling:
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
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """[resamples, documents] mean rank of each document (from 1 at the top) where each counts ``weights`` times."""
        sums = self.sums(weights)
        return (np.cumsum(sums, axis=1) - (sums - 1) / 2)[:, self.group]

    def first(self, weights: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(sums over each group, the group that holds place ``counts`` from the top), for each resample."""
        sums = self.sums(weights)
        return sums, np.argmax(np.cumsum(sums, axis=1) >= counts[:, None], axis=1)


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
        self.by_label = Falling(labels)
        self._by_prediction: list[Falling] = []

    @property
    def by_prediction(self) -> list[Falling]:
        """The documents by the predictions of each seed; sorted on first use, since errors do not need it."""
        if not self._by_prediction:
            self._by_prediction = [Falling(p) for p in self.predictions]
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
            return self._ndcg(w)
        inside = self._region(w)
        if name == "precision":
            return self._precision(w, inside)
        w = w * inside
        with np.errstate(invalid="ignore", divide="ignore"):
            if name in ("rmse", "mae"):
                error = np.abs(self.predictions - self.labels)
                total = w @ (error**2 if name == "rmse" else error).T / w.sum(axis=1, keepdims=True)
                return np.sqrt(total) if name == "rmse" else total
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

    def _spearman(self, w: np.ndarray) -> np.ndarray:
        n = w.sum(axis=1)
        middle = (n + 1) / 2
        ys = self.by_label.ranks(w) - middle[:, None]
        spread = np.einsum("rd,rd->r", w, ys**2)
        columns = []
        for falling in self.by_prediction:
            xs = falling.ranks(w) - middle[:, None]
            both = np.einsum("rd,rd,rd->r", w, xs, ys)
            columns.append(both / np.sqrt(np.einsum("rd,rd->r", w, xs**2) * spread))
        return np.stack(columns, axis=1)

    def _kendall(self, w: np.ndarray) -> np.ndarray:
        drawn = [np.repeat(np.arange(w.shape[1]), row.astype(np.int64)) for row in w]
        return np.array([[kendall(p[at], self.labels[at]) for p in self.predictions] for at in drawn])

    def _precision(self, w: np.ndarray, inside: np.ndarray) -> np.ndarray:
        n = (w * inside).sum(axis=1)
        rows = np.arange(len(w))
        columns = []
        for falling in self.by_prediction:
            sums, last = falling.first(w, n)
            right = falling.sums(w * inside)
            above = np.cumsum(sums, axis=1)[rows, last] - sums[rows, last]
            found = np.cumsum(right, axis=1)[rows, last] - right[rows, last]
            columns.append((found + (n - above) * right[rows, last] / sums[rows, last]) / n)
        return np.stack(columns, axis=1)

    def _ndcg(self, w: np.ndarray) -> np.ndarray:
        n = int(w.sum(axis=1).max())
        cutoff = min(self.measure.cutoff or n, n)
        until = discounts_until(cutoff, n)
        ideal = self._dcg(Falling(self.gains), w, until)
        found = np.stack([self._dcg(falling, w, until) for falling in self.by_prediction], axis=1)
        return np.where(ideal[:, None] > 0, found / np.where(ideal > 0, ideal, 1.0)[:, None], 0.0)

    def _dcg(self, falling: Falling, w: np.ndarray, until: np.ndarray) -> np.ndarray:
        """[resamples] discounted gains, those of a group of equal documents shared among them."""
        sums = falling.sums(w)
        gains = falling.sums(w * self.gains) / np.where(sums > 0, sums, 1.0)
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


def drawn_lists(n_lists: int, resamples: int, seed: int) -> np.ndarray:
    """[resamples, lists] how often each list is drawn when as many lists are drawn with replacement."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, n_lists, n_lists), minlength=n_lists) for _ in range(resamples)])
