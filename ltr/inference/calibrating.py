"""Fitting a map from scores to probabilities on judged documents, and choosing it on queries that it was not fitted on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from ltr.errors import ConfigError, DataError
from ltr.inference.probability import Fitted, Sigmoid
from ltr.io.files import replacing
from ltr.metrics.calibration import Group, expected_calibration_error, log_loss, reliability
from ltr.settings import FILE, ModelSettings


@dataclass(frozen=True)
class Held:
    """How well a way to fit predicts queries that it was not fitted on.

    Attributes:
        log_loss: see ``ltr.metrics.calibration.log_loss``.
        error: expected calibration error.
        groups: the reliability diagram.
    """

    log_loss: float
    error: float
    groups: list[Group]


@dataclass(frozen=True)
class Calibration:
    """A fitted map, and what held-out queries said of it and of the others.

    Attributes:
        kind: of the chosen map, as ``ltr.json`` names it.
        chosen: the map, fitted on all queries.
        held: method -> how it did; ``sigmoid`` stands beside those that are fitted.
    """

    kind: str
    chosen: Fitted
    held: dict[str, Held]


def calibrate(
    scores: np.ndarray, relevant: np.ndarray, queries: np.ndarray, folds: int = 5, seed: int = 0
) -> Calibration:
    """The better of Platt's and the isotonic map by held-out log loss, cross-fitted by query.

    Args:
        scores: [documents] raw scores.
        relevant: [documents] bool.
        queries: [documents] number of each document's query: a query is held out as a whole.
        folds: parts that queries are dealt to; each is predicted by what the others fit.
        seed: which queries go to which part.

    Raises:
        ConfigError: fewer than two folds.
        DataError: fewer queries with both kinds of documents than folds; scores that fall with relevance.
    """
    if folds < 2:
        raise ConfigError(f"calibrate: folds must be at least 2, got {folds}")
    names, place = np.unique(queries, return_inverse=True)
    mixed = len(set(place[relevant].tolist()) & set(place[~relevant].tolist()))
    if mixed < folds:
        raise DataError(
            f"calibrate: {folds} folds need as many queries with documents that are relevant and others that are not, got "
            f"{mixed}; take more queries, more --depth, or fewer --folds"
        )
    part = np.random.default_rng(seed).permutation(len(names))[place] % folds
    predicted = {method: np.empty(len(scores)) for method in ("sigmoid", *FITS)}
    predicted["sigmoid"] = Sigmoid()(scores)
    for fold in range(folds):
        out = part == fold
        for method, fit in FITS.items():
            predicted[method][out] = fit(scores[~out], relevant[~out])(scores[out])
    held = {method: _held(found, relevant) for method, found in predicted.items()}
    method = min(FITS, key=lambda name: held[name].log_loss)
    return Calibration(method, FITS[method](scores, relevant), held)


def platt(scores: np.ndarray, relevant: np.ndarray) -> Fitted:
    """sigmoid(a · score + b) of least log loss against targets that are drawn in from 0 and 1, as Platt does.

    Raises:
        DataError: one kind of documents only, or scores that do not rise with relevance.
    """
    from scipy.optimize import minimize

    positive, n = int(relevant.sum()), len(relevant)
    if not 0 < positive < n or not np.ptp(scores) > 0:
        raise DataError(
            "calibrate: needs relevant and other documents at scores that differ, got "
            f"{positive} relevant of {n} at scores from {scores.min():g} to {scores.max():g}"
        )
    target = np.where(relevant, (positive + 1) / (positive + 2), 1 / (n - positive + 2))
    middle, spread = float(scores.mean()), float(scores.std())
    unit = (scores - middle) / spread  # a scale on which the search starts well

    def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        given = parameters[0] * unit + parameters[1]
        wrong = expit(given) - target
        return float((np.logaddexp(0, given) - target * given).mean()), np.array([(wrong * unit).mean(), wrong.mean()])

    found = minimize(cost, np.array([1.0, logit(positive / n)]), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    if not found[0] > 0:
        raise DataError(
            f"calibrate: scores must rise with relevance, and here they fall (slope {found[0] / spread:g}): is this the "
            "model, and are these the judgements?"
        )
    return Fitted((middle,), (float(found[1]),), float(found[0] / spread))


def isotonic(scores: np.ndarray, relevant: np.ndarray) -> Fitted:
    """The rising step function of least squares, made strictly increasing.

    Its steps become knots at their mean scores. Each step's share of relevant documents is drawn towards Platt's
    probability there, as if one more document had been seen, so that none is 0 or 1; between knots logits are straight, and
    outside of them they rise as Platt's.

    Raises:
        DataError: see ``platt``.

    Source: Oron and Flournoy, Centered isotonic regression, Statistics in Biopharmaceutical Research 2017.
    """
    base = platt(scores, relevant)
    # documents of one score cannot be told apart, and make one step from the start
    values, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(place, weights=relevant, minlength=len(values)) / counts
    knots, steps, sizes = _rising(values.astype(np.float64), shares, counts.astype(np.float64))
    drawn = (steps * sizes + base(knots)) / (sizes + 1)
    knots, drawn, _ = _rising(knots, drawn, sizes + 1)
    return Fitted(tuple(knots.tolist()), tuple(logit(drawn).tolist()), base.slope)


#: method -> what fits it
FITS: dict[str, Callable[[np.ndarray, np.ndarray], Fitted]] = {"platt": platt, "isotonic": isotonic}


def _rising(places: np.ndarray, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean place, value, weight) of the blocks of the isotonic regression; values of neighbours differ."""
    from scipy.optimize import isotonic_regression

    fitted = isotonic_regression(values, weights=weights).x
    block = np.concatenate([[0], np.cumsum(np.diff(fitted) > 1e-12)])
    sizes = np.bincount(block, weights=weights)
    return (
        np.bincount(block, weights=weights * places) / sizes,
        np.bincount(block, weights=weights * fitted) / sizes,
        sizes,
    )


def _held(probabilities: np.ndarray, relevant: np.ndarray) -> Held:
    groups = reliability(probabilities, relevant)
    return Held(log_loss(probabilities, relevant), expected_calibration_error(groups), groups)


def store(folder: str | os.PathLike, settings: ModelSettings, found: Calibration, told: Mapping[str, Any]) -> None:
    """Put a map into ``ltr.json``; all else that stands there stays.

    Args:
        folder: of the model.
        settings: how its texts are read, written where there is no such file.
        found: what holds the map.
        told: what it was fitted on.
    """
    kept = {"kind": found.kind, **asdict(replace(found.chosen, fitted=dict(told)))}
    path = Path(folder) / FILE
    if not path.is_file():
        replace(settings, calibration=kept).write(folder)
        return
    held = json.loads(path.read_text(encoding="utf-8"))
    with replacing(path) as file:
        json.dump({**held, "calibration": kept}, file, indent=2)
        file.write("\n")
