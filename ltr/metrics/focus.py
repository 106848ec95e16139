"""How good predictions of real-valued labels are where it matters: inside the top share of the labels, and outside."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ltr.errors import ConfigError, DataError, ShapeError

#: what ``focus_measures`` always reports
NAMES = (
    *(f"{what}_{part}" for part in ("top", "rest") for what in ("rmse", "mae", "spearman", "kendall")),
    "precision_top",
)


def focus_measures(
    predictions: np.ndarray,
    labels: np.ndarray,
    top: float = 0.2,
    *,
    cutoff: int | None = None,
    offsets: np.ndarray | None = None,
) -> dict[str, float]:
    """Error and rank correlation inside and outside the top share of labels, and how well the top is found.

    The focus region is every document whose label is among the highest share ``top`` of all labels (those equal to
    the lowest of them belong to it). Keys are ``rmse_top``, ``rmse_rest``, ``mae_top``, ``mae_rest``,
    ``spearman_top``, ``spearman_rest``, ``kendall_top`` (tau-b), ``kendall_rest``, ``precision_top``, and
    ``ndcg_label@<cutoff>`` when a cutoff is given. A correlation is NaN where all labels or all predictions are equal.

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

    >>> found = focus_measures(np.array([0.0, 1.0, 4.0, 2.0]), np.array([0.0, 1.0, 2.0, 4.0]), top=0.5)
    >>> found["rmse_top"], found["rmse_rest"], found["precision_top"]
    (2.0, 0.0, 1.0)
    """
    p, y = _checked(predictions, labels, top)
    focus = y >= np.sort(y)[-int(np.ceil(top * len(y)))]
    found = {}
    for name, part in (("top", focus), ("rest", ~focus)):
        error = p[part] - y[part]
        found[f"rmse_{name}"] = float(np.sqrt((error**2).mean())) if len(error) else float("nan")
        found[f"mae_{name}"] = float(np.abs(error).mean()) if len(error) else float("nan")
        found[f"spearman_{name}"], found[f"kendall_{name}"] = _correlations(p[part], y[part])
    found["precision_top"] = precision_of_top(p, focus)
    if cutoff is not None:
        found[f"ndcg_label@{cutoff}"] = ndcg_of_labels(p, y, cutoff, offsets)
    return found


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
) -> float:
    """Mean over lists of the nDCG whose gain is the label itself; lists whose labels are all 0 count 0.

    Documents with tied predictions share their mean gain, so that the order of the input does not matter.

    Args:
        predictions: [documents].
        labels: [documents], not negative.
        cutoff: ranks that count, at least 1.
        offsets: [lists + 1] where lists begin and end; one list by default.

    Source: F. McSherry and M. Najork, "Computing Information Retrieval Performance Measures Efficiently in the
    Presence of Tied Scores", ECIR 2008 (expected gain of ties).
    """
    if cutoff < 1:
        raise ConfigError(f"ndcg of labels: the cutoff must be at least 1, got {cutoff}")
    if (labels < 0).any():
        raise DataError(f"ndcg of labels: a gain must not be negative, got {labels.min():g}; leave the cutoff out")
    bounds = np.array([0, len(labels)]) if offsets is None else np.asarray(offsets)
    if bounds[0] != 0 or bounds[-1] != len(labels) or (np.diff(bounds) < 0).any():
        raise ShapeError(f"ndcg of labels: offsets must rise from 0 to {len(labels)} documents, got {bounds.tolist()}")
    values = []
    for a, b in pairwise(bounds):
        _, tie = np.unique(-predictions[a:b], return_inverse=True)
        sizes = np.bincount(tie)
        shared = np.repeat(np.bincount(tie, weights=labels[a:b]) / sizes, sizes) if b > a else labels[a:b]
        best = np.sort(labels[a:b])[::-1]
        discount = 1 / np.log2(np.arange(2, min(cutoff, b - a) + 2))
        ideal = float(best[:cutoff] @ discount)
        values.append(float(shared[:cutoff] @ discount) / ideal if ideal > 0 else 0.0)
    return float(np.mean(values))


def _checked(predictions: np.ndarray, labels: np.ndarray, top: float) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(predictions, np.float64), np.asarray(labels, np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise ShapeError(f"focus: predictions and labels must be flat and equally long, got {p.shape} and {y.shape}")
    if not 0 < top < 1:
        raise ConfigError(f"focus: the top share must be between 0 and 1, got {top}")
    if not len(y):
        raise DataError("focus: there are no documents to measure")
    for what, values in (("predictions", p), ("labels", y)):
        if not np.isfinite(values).all():
            at = int(np.argmin(np.isfinite(values)))
            raise DataError(f"focus: {what} must be finite, got {values[at]} at position {at}")
    return p, y


def _correlations(p: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(Spearman, Kendall tau-b); NaN where one side is constant."""
    from scipy.stats import kendalltau, spearmanr

    if len(p) < 2 or np.ptp(p) == 0 or np.ptp(y) == 0:
        return float("nan"), float("nan")
    return float(spearmanr(p, y).statistic), float(kendalltau(p, y).statistic)
