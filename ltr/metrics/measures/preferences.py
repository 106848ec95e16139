"""How well scores tell the better of several responses: pairs, the best of n, calibration, and what length alone explains."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ltr.metrics.measures.focus import spearman, top_share

#: bins of a calibration, of confidence from a half to 1
BINS = 10


def pair_accuracy(
    predictions: np.ndarray, labels: np.ndarray, offsets: np.ndarray, top: float | None = None
) -> np.ndarray:
    """[lists] share of the pairs of different labels that are in the right order; equal predictions count a half.

    A list without such a pair counts a half, as any order would.

    Args:
        predictions, labels: [documents].
        offsets: [lists + 1].
        top: only pairs whose better document is in the top share of the list's labels.

    >>> pair_accuracy(np.array([3.0, 2.0, 2.0]), np.array([2.0, 1.0, 0.0]), np.array([0, 3])).round(3).tolist()
    [0.833]
    """
    values = np.full(len(offsets) - 1, 0.5)
    for i, (p, y) in enumerate(_lists(predictions, labels, offsets)):
        if not len(y):
            continue
        better = y[:, None] > y
        if top is not None:
            better &= top_share(y, top)[:, None]
        if better.any():
            right = (p[:, None] > p) + 0.5 * (p[:, None] == p)
            values[i] = right[better].mean()
    return values


def best_of(predictions: np.ndarray, gains: np.ndarray, offsets: np.ndarray, n: int = 0) -> np.ndarray:
    """[lists] the expected gain of the best predicted of n documents drawn from a list, without replacement.

    Equal predictions share their mean gain. With gains that are rates of wins: the rate of best-of-n.

    Args:
        predictions, gains: [documents].
        offsets: [lists + 1].
        n: documents that are drawn; 0 for all.

    >>> best_of(np.array([3.0, 2.0, 1.0]), np.array([0.9, 0.6, 0.3]), np.array([0, 3]), n=2).round(3).tolist()
    [0.8]
    """
    values = np.zeros(len(offsets) - 1)
    for i, (p, gain) in enumerate(_lists(predictions, gains, offsets)):
        size = len(p)
        if not size:
            continue
        _, tie = np.unique(-p, return_inverse=True)
        sizes = np.bincount(tie)
        shared = np.repeat(np.bincount(tie, weights=gain) / sizes, sizes)
        drawn = min(n or size, size)
        # how likely the document of rank k is the best drawn: C(size - k, n - 1) / C(size, n), step by step
        chance = np.empty(size)
        chance[0] = drawn / size
        for k in range(1, size):
            chance[k] = chance[k - 1] * max(0, size - k - drawn + 1) / (size - k)
        values[i] = float(shared @ chance)
    return values


def regret(predictions: np.ndarray, gains: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """[lists] by how much the best predicted document's gain misses the largest.

    >>> regret(np.array([1.0, 2.0]), np.array([0.9, 0.6]), np.array([0, 2])).round(3).tolist()
    [0.3]
    """
    most = np.array([gain.max() if len(gain) else 0.0 for _, gain in _lists(predictions, gains, offsets)])
    return most - best_of(predictions, gains, offsets)


def length_correlation(predictions: np.ndarray, lengths: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """[lists] Spearman's correlation of predictions and lengths; 0 where one side is constant."""
    found = [spearman(p, size) for p, size in _lists(predictions, lengths, offsets)]
    return np.nan_to_num(np.array(found, np.float64))


def calibration_error(predictions: np.ndarray, labels: np.ndarray, offsets: np.ndarray) -> float:
    """Expected calibration error of σ(difference) as the probability that the better predicted document is better.

    Over all pairs of different labels in all lists, in ten bins of that probability; NaN without a pair.

    >>> calibration_error(np.array([0.0, 0.0]), np.array([1.0, 0.0]), np.array([0, 2]))
    0.0

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    confidence, right = [], []
    for p, y in _lists(predictions, labels, offsets):
        upper, lower = np.nonzero(y[:, None] > y)
        gap = p[upper] - p[lower]
        confidence.append(0.5 + 0.5 * np.tanh(np.abs(gap) / 2))
        right.append((gap > 0) + 0.5 * (gap == 0))
    c, r = np.concatenate(confidence or [np.zeros(0)]), np.concatenate(right or [np.zeros(0)])
    if not len(c):
        return float("nan")
    at = np.minimum(((c - 0.5) * 2 * BINS).astype(int), BINS - 1)
    counts = np.bincount(at, minlength=BINS)
    gaps = np.abs(np.bincount(at, weights=c, minlength=BINS) - np.bincount(at, weights=r, minlength=BINS))
    return float(gaps.sum() / counts.sum())


def tie_auc(predictions: np.ndarray, labels: np.ndarray, offsets: np.ndarray) -> float:
    """How likely a tied pair's predictions lie nearer together than those of a pair that is decided; a half for chance.

    NaN where there are no ties, or nothing else.

    >>> tie_auc(np.array([0.0, 0.1, 5.0]), np.array([0.0, 0.0, 1.0]), np.array([0, 3]))
    1.0
    """
    from scipy.stats import rankdata

    tied, decided = [], []
    for p, y in _lists(predictions, labels, offsets):
        upper, lower = np.triu_indices(len(y), 1)
        gap, same = np.abs(p[upper] - p[lower]), y[upper] == y[lower]
        tied.append(gap[same])
        decided.append(gap[~same])
    a, b = np.concatenate(tied or [np.zeros(0)]), np.concatenate(decided or [np.zeros(0)])
    if not len(a) or not len(b):
        return float("nan")
    ranks = rankdata(np.concatenate([a, b]))[len(a) :]
    return float((ranks.sum() - len(b) * (len(b) + 1) / 2) / (len(a) * len(b)))


def _lists(a: np.ndarray, b: np.ndarray, offsets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first, end in pairwise(offsets.tolist()):
        yield a[first:end], b[first:end]
