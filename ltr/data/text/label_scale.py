"""Real-valued labels brought to mean 0 and standard deviation 1, so that links and scorers need not know their unit."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from ltr.data.lists.pools import said
from ltr.data.lists.ragged import Ragged
from ltr.data.text.parts import EvalPart, TrainPart
from ltr.errors import DataError

#: a softmax over a list that gives its best document more than this on average is as good as one-hot
ONE_HOT = 0.99

log = logging.getLogger("ltr")


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

    def tell(self, who: str, n: int) -> None:
        """Say once what was done to a teacher's scores."""
        log.info(
            "teacher %s: %d training scores with mean %.6g and standard deviation %.6g; labels are what lies above the mean, in "
            "deviations (data.standardise_labels=false keeps the raw scores)",
            *(who, n, self.mean, self.deviation),
        )

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


def top_share(offsets: np.ndarray, scores: np.ndarray) -> float:
    """What a softmax over the scores of a list gives its best document, on average over lists of several.

    >>> round(top_share(np.array([0, 2, 4]), np.array([0.0, 0.0, 0.0, 9.0])), 3)
    0.75
    """
    sizes = np.diff(offsets)
    starts = offsets[:-1][sizes > 1]
    if not len(starts):
        return 0.0
    several = np.repeat(sizes > 1, sizes)
    values, own = np.asarray(scores, np.float64)[several], sizes[sizes > 1]
    firsts = np.concatenate([[0], np.cumsum(own)[:-1]])
    best = np.repeat(np.maximum.reduceat(values, firsts), own)
    return float((1 / np.add.reduceat(np.exp(values - best), firsts)).mean())


def tell_one_hot(lists: Ragged, scores: np.ndarray, who: str) -> None:
    """Warn of a teacher whose raw scores lie so far apart that a softmax of them knows only the best document."""
    share = top_share(lists.offsets, scores)
    if share > ONE_HOT:
        said(
            [
                f"teacher {who}: a softmax over its raw scores gives the best document of a list {share:.4f} of the weight on "
                "average, as if all others were equal; leave data.standardise_labels at null, or raise the loss's temperature"
            ]
        )
