"""Scores in [0, 1]: strictly increasing maps from what a model says to a probability, and which of them a model was saved with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.special import expit

from ltr.errors import ConfigError
from ltr.settings import ModelSettings

#: float32 numbers above 0, infinity not counted
POSITIVE = 0x7F800000
#: what separates float64 numbers just below 1; just below 1/2; just above 0
BELOW_ONE, BELOW_HALF, ABOVE_ZERO = 2.0**-53, 2.0**-54, 2.0**-1074


class Probability(Protocol):
    """A strictly increasing map from scores to [0, 1].

    Shape:
        ``map(scores)`` takes finite float32 scores of any shape and returns float64 of the same; scores that differ never
        become one number.
    """

    def __call__(self, scores: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-score)), and never the same number for two scores.

    In float64 the plain function is 1 from a score of 37 on, 0 below -745, and 1/2 around 0. There the place of the score
    among all float32 numbers bounds it, which moves it by less than 1.2e-7.

    >>> Sigmoid()(np.array([0.0, 40.0, 41.0], np.float32)).round(9).tolist()
    [0.5, 0.999999886, 0.999999886]
    """

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        single = np.asarray(scores, np.float32)
        wide = single.astype(np.float64)
        small = np.exp(-np.abs(wide))  # never overflows
        # so many float32 numbers lie between 0 and the score, and so many behind it
        place = np.abs(single).view(np.int32).astype(np.float64)
        left = POSITIVE - place
        upper = np.clip(1 / (1 + small), 0.5 + place * BELOW_ONE, 1 - left * BELOW_ONE)
        lower = np.clip(small / (1 + small), left * ABOVE_ZERO, 0.5 - place * BELOW_HALF)
        return np.where(wide >= 0, upper, lower)


#: the share of a score's place among all float32 numbers in a fitted probability: two neighbours differ by 16 units of the
#: last digit then, wherever they lie, which no rounding takes away
TILT = 2.0**-18


@dataclass(frozen=True)
class Fitted:
    """sigmoid(g(score)) with an increasing g that was fitted: straight between knots, with one slope outside of them.

    One knot makes the logistic map of Platt, many a calibration curve of any shape. So that no two scores become the same
    number, the score's place among all float32 numbers is mixed in, which moves a probability by less than 4e-6.

    Args:
        scores: of the knots, increasing.
        logits: of their probabilities, increasing.
        slope: of g below the first knot and above the last; above 0.
        fitted: what is known of the fit: on which documents, and what held-out queries said of it.

    Raises:
        ConfigError: knots that do not increase, a slope that is not above 0, numbers that are not finite.

    >>> Fitted((0.0, 1.0), (0.0, 3.0))(np.array([0.0, 0.5, 1.0], np.float32)).round(3).tolist()
    [0.5, 0.818, 0.953]

    Source: Platt, Probabilistic outputs for support vector machines, 1999; Zadrozny and Elkan, Transforming classifier scores
        into accurate multiclass probability estimates, KDD 2002.
    """

    scores: Sequence[float] = (0.0,)
    logits: Sequence[float] = (0.0,)
    slope: float = 1.0
    fitted: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.logits) or not len(self.scores):
            raise ConfigError(
                f"Fitted: needs one knot or more, each with a score and a logit, got {len(self.scores)} and "
                f"{len(self.logits)}"
            )
        for name in ("scores", "logits"):
            values = np.asarray(getattr(self, name), np.float64)
            if not np.isfinite(values).all() or (np.diff(values) <= 0).any():
                raise ConfigError(f"Fitted: {name} must be finite and increase, got {values.tolist()!r:.80}")
            object.__setattr__(self, name, tuple(values.tolist()))
        if not 0 < self.slope < math.inf:
            raise ConfigError(f"Fitted: slope must be finite and above 0, got {self.slope}")

    def logit(self, scores: np.ndarray) -> np.ndarray:
        """g of scores, float64."""
        wide = np.asarray(scores, np.float64)
        outside = np.minimum(wide - self.scores[0], 0) + np.maximum(wide - self.scores[-1], 0)
        return np.interp(wide, self.scores, self.logits) + self.slope * outside

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        single = np.asarray(scores, np.float32)
        place = np.abs(single).view(np.int32).astype(np.float64) / (2 * POSITIVE)
        return expit(self.logit(single)) * (1 - TILT) + TILT * (0.5 + np.where(single < 0, -place, place))


#: kind, as ``ltr.json`` names it -> what makes the map of the other numbers that stand there
KINDS: dict[str, Callable[..., Probability]] = {"sigmoid": Sigmoid, "platt": Fitted, "isotonic": Fitted}


def probability_of(settings: ModelSettings) -> Probability:
    """The map that a model was saved with (``calibration`` in ``ltr.json``); the sigmoid where there is none.

    Raises:
        ConfigError: a kind that is not known, or numbers that do not make one.
    """
    given: Mapping[str, object] = settings.calibration or {"kind": "sigmoid"}
    numbers = {name: value for name, value in given.items() if name != "kind"}
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(
            f"calibration: kind must be one of {', '.join(KINDS)}, got {kind!r}; calibrate the model anew"
        )
    try:
        return KINDS[kind](**numbers)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"calibration: {', '.join(numbers) or 'nothing'} does not make a map of kind {kind} ({error}); calibrate the "
            "model anew"
        ) from error
