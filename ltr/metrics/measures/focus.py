"""How good predictions of real-valued labels are, and how good they are inside the top share of the labels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ltr.errors import ConfigError, DataError, ShapeError


def rmse(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Root of the mean squared error; NaN without documents.

    >>> rmse(np.array([1.0, 5.0]), np.array([2.0, 4.0]))
    1.0
    """
    return float(np.sqrt(((predictions - labels) ** 2).mean())) if len(labels) else float("nan")


def mae(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Mean absolute error; NaN without documents.

    >>> mae(np.array([1.0, 5.0]), np.array([1.0, 2.0]))
    1.5
    """
    return float(np.abs(predictions - labels).mean()) if len(labels) else float("nan")


def r2(predictions: np.ndarray, labels: np.ndarray) -> float:
    """R², the coefficient of determination; NaN where all labels are equal or there is none.

    ``1 - sum (label - prediction)² / sum (label - mean of the labels)²``: 1 for exact predictions, 0 for the mean of these
    labels, below 0 for anything worse than it. It has no unit, so that tables of other labels can be compared with it.

    >>> r2(np.array([1.0, 2.0, 6.0]), np.array([0.0, 2.0, 4.0]))  # 1 - (1 + 0 + 4) / (4 + 0 + 4)
    0.375
    """
    if not len(labels) or not np.ptp(labels) > 0:
        return float("nan")
    return float(1 - ((labels - predictions) ** 2).sum() / ((labels - labels.mean()) ** 2).sum())


def spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where one side is constant or there are fewer than two.

    >>> round(spearman(np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0, 3.0])), 4)
    0.5
    """
    from scipy.stats import spearmanr

    return float(spearmanr(predictions, labels).statistic) if _varies(predictions, labels) else float("nan")


def kendall(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Kendall's rank correlation tau-b; NaN where one side is constant or there are fewer than two.

    >>> round(kendall(np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0, 3.0])), 4)  # 2 pairs in order, 1 not
    0.3333
    """
    from scipy.stats import kendalltau

    return float(kendalltau(predictions, labels).statistic) if _varies(predictions, labels) else float("nan")


#: what can be measured inside a region, outside it and over all documents: name -> function of predictions and labels
STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "rmse": rmse,
    "mae": mae,
    "spearman": spearman,
    "kendall": kendall,
}
#: what ``focus_measures`` always reports
NAMES = (*(f"{what}_{part}" for part in ("top", "rest") for what in STATISTICS), "precision_top")


def focus_measures(
    predictions: np.ndarray,
    labels: np.ndarray,
    top: float = 0.2,
    *,
    cutoff: int | None = None,
    offsets: np.ndarray | None = None,
) -> dict[str, float]:
    """Error and rank correlation inside and outside the top share of labels, and how well the top is found.

    Keys are ``rmse_top``, ``rmse_rest``, ``mae_top``, ``mae_rest``, ``spearman_top``, ``spearman_rest``,
    ``kendall_top`` (tau-b), ``kendall_rest``, ``precision_top``, and ``ndcg_label@<cutoff>`` when a cutoff is given: the
    measures ``rmse_top.2`` and so on of ``ltr.metrics.measures.labels``, all at once. The region is that of ``top_share``. A
    correlation is NaN where all labels or all predictions are equal.

    Args:
        predictions: [documents] predicted labels, in the unit of the labels.
        labels: [documents] dwell seconds, teacher scores or any other real values.
        top: share of the labels in focus, in (0, 1).
        cutoff: ranks of the nDCG with the label itself as gain; labels must not be negative then.
        offsets: [lists + 1] where lists begin and end, for the nDCG; one list by default.

    Raises:
        ShapeError: when predictions and labels are not flat and equally long.
        ConfigError: for a share outside of (0, 1) or a cutoff below 1.
        DataError: for values that are not finite, no documents, or negative labels with a cutoff.

    >>> values = focus_measures(np.array([0.0, 1.0, 4.0, 2.0]), np.array([0.0, 1.0, 2.0, 4.0]), top=0.5)
    >>> values["rmse_top"], values["rmse_rest"], values["precision_top"]
    (2.0, 0.0, 1.0)
    """
    p, y = checked("focus", predictions, labels)
    focus = top_share(y, top)
    values: dict[str, float] = {}
    for name, part in (("top", focus), ("rest", ~focus)):
        values |= {f"{what}_{name}": statistic(p[part], y[part]) for what, statistic in STATISTICS.items()}
    values["precision_top"] = precision_of_top(p, focus)
    if cutoff is not None:
        values[f"ndcg_label@{cutoff}"] = float(ndcg_of_labels(p, y, cutoff, offsets).mean())
    return values


def top_share(labels: np.ndarray, top: float) -> np.ndarray:
    """[documents] bool: whose label is among the highest share ``top`` of all labels, rounded up to whole documents.

    Documents whose label equals the lowest of these belong to it too.

    Args:
        labels: [documents], at least one.
        top: share in (0, 1).

    >>> top_share(np.array([5.0, 1.0, 3.0, 3.0]), 0.5).tolist()
    [True, False, True, True]
    """
    if not 0 < top < 1:
        raise ConfigError(f"focus: the top share must be between 0 and 1, got {top}")
    n = top_count(len(labels), top)
    return labels >= np.partition(labels, -n)[-n]


def top_count(n: float, top: float) -> int:
    """How many documents the share ``top`` of ``n`` is, rounded up.

    >>> top_count(15, 0.2), top_count(16, 0.2)
    (3, 4)
    """
    # 0.2 * 15 is 3.0000000000000004 in floating point, and 3 documents are meant
    return int(np.ceil(round(top * n, 9)))


def precision_of_top(predictions: np.ndarray, focus: np.ndarray) -> float:
    """Share of the focus region among as many highest predictions; tied predictions count their expectation.

    Args:
        predictions: [documents].
        focus: [documents] bool, the documents that should be on top.

    >>> precision_of_top(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.5
    """
    n = int(focus.sum())
    bar = np.sort(predictions)[-n]
    above, tied = predictions > bar, predictions == bar
    return float((focus[above].sum() + (n - above.sum()) * focus[tied].mean()) / n)


def ndcg_of_labels(
    predictions: np.ndarray, labels: np.ndarray, cutoff: int, offsets: np.ndarray | None = None
) -> np.ndarray:
    """[lists] nDCG whose gain is the label itself; lists whose labels are all 0 count 0, and empty lists.

    Documents with tied predictions share their mean gain, so that the order of the input does not matter.

    Args:
        predictions: [documents].
        labels: [documents] gains, not negative.
        cutoff: ranks that count, at least 1.
        offsets: [lists + 1] where lists begin and end; one list by default.

    Source: F. McSherry and M. Najork, "Computing Information Retrieval Performance Measures Efficiently in the
    Presence of Tied Scores", ECIR 2008 (expected gain of ties).
    """
    if cutoff < 1:
        raise ConfigError(f"ndcg of labels: the cutoff must be at least 1, got {cutoff}")
    if (labels < 0).any():
        raise DataError(
            f"ndcg of labels: a gain must not be negative, got {labels.min():g}; ask for another measure, or shift the labels"
        )
    bounds = np.array([0, len(labels)]) if offsets is None else np.asarray(offsets)
    if bounds[0] != 0 or bounds[-1] != len(labels) or (np.diff(bounds) < 0).any():
        raise ShapeError(f"ndcg of labels: offsets must rise from 0 to {len(labels)} documents, got {bounds.tolist()}")
    values = np.zeros(len(bounds) - 1)
    for i, (a, b) in enumerate(pairwise(bounds.tolist())):
        if a == b:
            continue
        _, tie = np.unique(-predictions[a:b], return_inverse=True)
        sizes = np.bincount(tie)
        shared = np.repeat(np.bincount(tie, weights=labels[a:b]) / sizes, sizes)
        best = np.sort(labels[a:b])[::-1]
        discount = 1 / np.log2(np.arange(2, min(cutoff, b - a) + 2))
        ideal = float(best[:cutoff] @ discount)
        values[i] = float(shared[:cutoff] @ discount) / ideal if ideal > 0 else 0.0
    return values


def checked(who: str, predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and labels as flat float64 arrays.

    Raises:
        ShapeError: they are not flat and equally long.
        DataError: there is no document, or a value that is not finite.
    """
    p, y = np.asarray(predictions, np.float64), np.asarray(labels, np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise ShapeError(f"{who}: predictions and labels must be flat and equally long, got {p.shape} and {y.shape}")
    if not len(y):
        raise DataError(f"{who}: there are no documents to measure")
    for what, values in (("predictions", p), ("labels", y)):
        if not np.isfinite(values).all():
            at = int(np.argmin(np.isfinite(values)))
            raise DataError(f"{who}: {what} must be finite, got {values[at]} at position {at}")
    return p, y


def _varies(p: np.ndarray, y: np.ndarray) -> bool:
    return len(p) > 1 and bool(np.ptp(p) > 0) and bool(np.ptp(y) > 0)
