"""Real-valued labels brought to mean 0 and standard deviation 1, so that links and scorers need not know their unit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ltr.data.text.parts import EvalPart, TrainPart
from ltr.errors import DataError


@dataclass(frozen=True)
class LabelScale:
    """``(label - mean) / deviation``, both of the training labels.

    >>> scale = LabelScale.of(np.array([2.0, 4.0, 6.0, 8.0]), "teacher")
    >>> scale.mean, round(scale.deviation, 4)
    (5.0, 2.2361)
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, labels: np.ndarray, who: str) -> LabelScale:
        """From training labels. Raises DataError where all are equal."""
        values = np.asarray(labels, np.float64)
        deviation = float(values.std())
        if not deviation > 0:
            raise DataError(
                f"{who}: all {len(values)} labels are {values[0]:g}, so there is nothing to learn or to scale"
            )
        return cls(float(values.mean()), deviation)

    def scaled(self, labels: np.ndarray) -> np.ndarray:
        """[documents] float64 labels in units of the deviation."""
        return (np.asarray(labels, np.float64) - self.mean) / self.deviation

    def back(self, predictions: np.ndarray) -> np.ndarray:
        """[documents] float64 predictions of scaled labels, in the unit of the labels."""
        return np.asarray(predictions, np.float64) * self.deviation + self.mean

    def part(self, part: TrainPart | EvalPart) -> TrainPart | EvalPart:
        """A part of the data with scaled labels."""
        if isinstance(part, EvalPart):
            return replace(part, lists=part.lists._replace(labels=self.scaled(part.labels).astype(np.float32)))
        return replace(part, pool=replace(part.pool, rest_labels=self.scaled(part.pool.rest_labels).astype(np.float32)))
