"""What a ranker from outside must be able to do, so that it can be measured like the trainings of ltr."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ltr.data.features.feature_data import FeatureData


class OutsideRanker(ABC):
    """A ranker that trains by itself on a data module's features, such as LightGBM's LambdaMART."""

    @abstractmethod
    def fit(self, data: FeatureData, monitor: str, seed: int) -> None:
        """Train on ``data.whole("train")`` and choose on ``data.whole("dev")`` by the measure ``monitor``."""

    @abstractmethod
    def predict(self, data: FeatureData, part: str) -> np.ndarray:
        """[documents] scores of a part of the data, in its order."""

    @property
    @abstractmethod
    def best_value(self) -> float:
        """The monitored measure on dev of the model that was chosen."""

    @property
    @abstractmethod
    def course(self) -> list[dict[str, float]]:
        """The monitored measure as training went on: rows with ``step`` and ``dev/MEASURE``."""
