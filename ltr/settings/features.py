"""``ltr.json`` of a scorer on features: which features, what was done to them, what its scores mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from ltr.batch import FeatureLists, Lists
from ltr.settings.base import UNWRITTEN, Settings


@dataclass(frozen=True)
class FeatureSettings(Settings):
    """What a scorer on features must know about its data.

    Attributes:
        n_features: numbers that describe a document.
        log1p: whether it takes the logarithm of features first.
        feature_names: of the features, in order; empty where the data had none.
        target: how labels became what was learnt (``ltr.data.features.standardise.Target``); empty where they were taken
            as is.
        unit: of the labels, such as seconds; empty where the data name none.
        mean_label: of what was learnt, over the training documents: the constant that predictions must beat; None where it
            is not known.
        reading: how lists were read from files (``FeatureData.reading``), so that other files are read alike.
        shift: [features] what is subtracted from features then; the weights hold it.
        scale: [features] by what is divided then; the weights hold it.
    """

    n_features: int = 0
    log1p: bool = False
    feature_names: tuple[str, ...] = ()
    target: Mapping[str, Any] = field(default_factory=dict)
    shift: np.ndarray | None = field(default=None, compare=False, metadata=UNWRITTEN)
    scale: np.ndarray | None = field(default=None, compare=False, metadata=UNWRITTEN)
    unit: str = ""
    mean_label: float | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    batch: ClassVar[type[Lists]] = FeatureLists
    needed: ClassVar[tuple[str, ...]] = ("scorer", "n_features", "log1p", "feature_names", "target")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "feature_names", tuple(self.feature_names))
        mean, reading = self.mean_label, self.reading
        if mean is not None and (isinstance(mean, bool) or not isinstance(mean, Real) or not math.isfinite(mean)):
            raise TypeError(f"mean_label must be a finite number or null, got {mean!r:.80}")
        if not isinstance(reading, Mapping) or not all(isinstance(one, (str, type(None))) for one in reading.values()):
            raise TypeError(f"reading must be a mapping to texts, got {reading!r:.80}")
