"""Scores in [0, 1]: strictly increasing maps from what a model says to a probability, and which of them a model was saved with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

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


#: kind, as ``ltr.json`` names it -> what makes the map of the other numbers that stand there
KINDS: dict[str, Callable[..., Probability]] = {"sigmoid": Sigmoid}


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
