"""A saved scorer on features, put to use: raw features in, scores or amounts out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch

from ltr.batch import FeatureLists, Lists
from ltr.data.features.columns import LARGEST, as_floats
from ltr.data.features.standardise import Target
from ltr.errors import DataError, ShapeError
from ltr.inference.pickling import Picklable
from ltr.inference.scoring import device_of, grouped
from ltr.io.names import suggestion
from ltr.machine.threads import unforked
from ltr.scorers import FeatureScorer, FeatureSettings, load_scorer

#: documents scored together
WINDOW = 2**15


class FeatureRanker(Picklable):
    """Scores documents that are described by numbers with a scorer that ``ltr fit`` has trained.

    Args:
        scorer: in evaluation mode while it scores.
        settings: what was saved with it.
        device: ``auto``, ``cpu``, ``cuda`` …
    """

    def __init__(self, scorer: FeatureScorer, settings: FeatureSettings, device: str = "auto"):
        self.device = device_of(device)
        self.scorer = scorer.to(self.device).eval()
        self.settings = settings
        self.target = Target(**settings.target) if settings.target else None

    @classmethod
    def load(cls, folder: str | os.PathLike, device: str = "auto", allow: Sequence[str] = ()) -> FeatureRanker:
        """Open a model folder, such as ``runs/NAME/best``.

        Args:
            folder: of the model.
            device: see the class.
            allow: packages (or classes) that are not part of ltr and may be the model's scorer; see ``load_scorer``.

        Raises:
            DataError: no such folder, or files that do not belong together.
        """
        scorer = load_scorer(folder, allow)
        if not isinstance(scorer, FeatureScorer):
            raise DataError(f"{folder}: {type(scorer).__name__} is no scorer on features; open it with ltr.Reranker")
        return cls(scorer, FeatureSettings.read(folder), device)

    def scores(self, features: Any, sizes: Sequence[int] | None = None) -> np.ndarray:
        """[documents] float32 scores, larger is better.

        Args:
            features: [documents, features] raw; or a pandas table, whose columns are then found by name and read as those
                of a file: durations as seconds, values beyond float32 as the largest there.
            sizes: how many documents each list has, in order; default: all are one list (which matters only where
                documents of a list see each other).

        Raises:
            ShapeError: another number of features, or sizes that do not add up.
            DataError: a column that is missing, a value that is no finite number.
        """
        matrix = self._matrix(features)
        counts = np.array([len(matrix)] if sizes is None else sizes, np.int64)
        if counts.sum() != len(matrix) or (counts < 0).any():
            raise ShapeError(f"FeatureRanker: sizes must add up to {len(matrix)} documents, got {counts.sum()}")
        ends = np.cumsum(counts)
        batches = (
            FeatureLists.of(matrix[end - n : end], np.array([0, n])) for n, end in zip(counts, ends, strict=True)
        )
        scores = [unforked(partial(self._computed, parts)) for parts in grouped(batches, WINDOW)]
        return np.concatenate([np.zeros(0, np.float32), *scores])

    def amounts(self, features: Any, sizes: Sequence[int] | None = None) -> np.ndarray:
        """[documents] scores in the unit of the labels, such as seconds, where the model learnt a transform of them."""
        scores = self.scores(features, sizes)
        return scores if self.target is None else self.target.back(scores)

    def _computed(self, parts: list[Lists]) -> np.ndarray:
        batch = Lists.cat(parts).to(self.device)
        with torch.inference_mode():
            return self.scorer(batch)[batch.mask].cpu().numpy()

    def _matrix(self, features: Any) -> np.ndarray:
        names = self.settings.feature_names
        if hasattr(features, "columns") and names:
            columns = list(map(str, features.columns))
            for name in names:
                if name not in columns:
                    raise DataError(f"FeatureRanker: no column {name!r} in the table; {suggestion(name, columns)}")
                if columns.count(name) > 1:
                    raise DataError(f"FeatureRanker: two columns have the name {name!r}; rename or remove one")
            given = [features.iloc[:, columns.index(name)] for name in names]
            # as training reads them: numpy would take durations as nanoseconds, and "1_0" as 10
            matrix = np.stack([as_floats(column) for column in given], axis=1)
        else:
            found = np.asarray(features)
            if found.dtype == object and all(isinstance(value, Real) for value in found.flat):
                found = found.astype(np.float64)
            if found.dtype.kind not in "fiub":
                raise DataError(f"FeatureRanker: features must be numbers, got {found.dtype}; convert them")
            given, matrix = None, found if found.dtype == np.float32 else found.astype(np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != self.scorer.n_features:
            raise ShapeError(
                f"FeatureRanker: features must be [documents, {self.scorer.n_features}], got {list(matrix.shape)}"
            )
        if not np.isfinite(matrix).all():
            row, column = np.argwhere(~np.isfinite(matrix))[0].tolist()
            wrong = matrix[row, column] if given is None else given[column].iloc[row]
            raise DataError(
                f"FeatureRanker: every value must be a finite number, got {wrong!s:.80} in document {row}, feature "
                f"{names[column] if names else column + 1}"
            )
        return matrix if matrix.dtype == np.float32 else matrix.clip(-LARGEST, LARGEST).astype(np.float32)
