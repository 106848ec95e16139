"""How far probabilities can be believed: log loss, reliability in groups, expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltr.errors import DataError


@dataclass(frozen=True)
class Group:
    """Documents of similar probability.

    Attributes:
        predicted: mean probability.
        observed: share that is relevant.
        low, high: Wilson's 95 % interval of that share, as if documents were independent.
        count: documents.
    """

    predicted: float
    observed: float
    low: float
    high: float
    count: int


def log_loss(probabilities: np.ndarray, relevant: np.ndarray) -> float:
    """Mean of -log p over relevant documents and of -log(1 - p) over others.

    >>> round(log_loss(np.array([0.5, 0.5]), np.array([True, False])), 4)
    0.6931
    """
    _check(probabilities, relevant)
    tiny = np.finfo(np.float64).tiny  # a certain prediction that fails costs much, and stays a number
    own = np.where(relevant, probabilities, 1 - probabilities)
    return float(-np.log(np.maximum(own, tiny)).mean())


def reliability(probabilities: np.ndarray, relevant: np.ndarray, groups: int = 10) -> list[Group]:
    """Documents by probability in groups of equal size, from the lowest; equal probabilities stay together.

    Groups of equal size, not of equal width: where one document in a hundred is relevant, nearly all probabilities fall
    into the lowest tenth.

    Args:
        probabilities: [documents].
        relevant: [documents] bool.
        groups: how many, at most.
    """
    _check(probabilities, relevant)
    order = np.argsort(probabilities, kind="stable")
    sorted_, hits = probabilities[order], relevant[order]
    wanted = np.linspace(0, len(order), groups + 1)[1:-1].round().astype(int)
    cuts = np.unique(np.searchsorted(sorted_, sorted_[wanted[wanted < len(order)]], "left"))
    parts = np.split(np.arange(len(order)), cuts[cuts > 0])
    return [_group(sorted_[part], hits[part]) for part in parts if len(part)]


def expected_calibration_error(groups: list[Group]) -> float:
    """Mean distance of prediction and share over groups, each counted with its documents.

    Source: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015; Nixon
    et al., Measuring calibration in deep learning, 2019 (groups of equal size).
    """
    whole = sum(group.count for group in groups)
    return sum(group.count * abs(group.predicted - group.observed) for group in groups) / whole


def _group(probabilities: np.ndarray, relevant: np.ndarray) -> Group:
    n, share, z = len(relevant), float(relevant.mean()), 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Group(float(probabilities.mean()), share, float(max(0.0, middle - half)), float(min(1.0, middle + half)), n)


def _check(probabilities: np.ndarray, relevant: np.ndarray) -> None:
    if len(probabilities) != len(relevant) or not len(relevant):
        raise DataError(
            f"calibration: needs one judgement for each probability and one or more, got {len(probabilities)} and "
            f"{len(relevant)}"
        )
