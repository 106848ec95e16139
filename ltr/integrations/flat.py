"""Feature lists as the flat arrays that tree learners take, checked for what those silently accept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltr.batch import FeatureLists
from ltr.data.features.feature_data import FeatureData
from ltr.errors import DataError


@dataclass(frozen=True, eq=False)
class FlatLists:
    """One part of the data: a matrix, and which of its rows are one list.

    Attributes:
        owner: who complains in errors.
        part: ``"train"`` or ``"dev"``, for errors.
        features: [documents, features] float32.
        labels: [documents] float32.
        sizes: [lists] documents of each list.
        weights: [documents] float32, or None for 1.
        batch: where it all came from.
    """

    owner: str
    part: str
    features: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    weights: np.ndarray | None
    batch: FeatureLists

    @classmethod
    def of(cls, owner: str, data: FeatureData, part: str) -> FlatLists:
        """A part of a data module, as its ``whole(part)`` gives it.

        Raises:
            DataError: no documents, no labels, or labels that are not finite.
        """
        batch: FeatureLists = data.whole(part)
        if not batch.n_docs:
            raise DataError(f"{owner}: the {part} part holds no documents; name another one")
        if batch.labels is None:
            raise DataError(f"{owner}: the {part} part has no labels; it cannot be learnt from or measured on")
        sizes, weights = batch.list_offsets.diff(), batch.weights
        if weights is not None:
            weights = weights[batch.mask] if weights.dim() == 2 else weights.repeat_interleave(sizes)
        labels = batch.labels.numpy()
        flat = cls(
            owner=owner,
            part=part,
            features=batch.features.numpy(),
            labels=labels,
            sizes=sizes.numpy(),
            weights=None if weights is None else weights.numpy(),
            batch=batch,
        )
        flat.refuse(~np.isfinite(labels), "labels must be finite", "mend the data")
        return flat

    def refuse(self, bad: np.ndarray, rule: str, advice: str) -> None:
        """Raise DataError "owner: rule, got label at query and document; advice" for the first bad document."""
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(f"{self.owner}: {rule}, got {self.labels[at]:g} at {self.place(at)}; {advice}")

    def place(self, at: int) -> str:
        """Which document of which query the row ``at`` is."""
        query = int(np.searchsorted(np.cumsum(self.sizes), at, "right"))
        names, docs = self.batch.query_ids, self.batch.doc_ids
        return f"query {names[query] if names else query}, document {docs[at] if docs else at} of {self.part}"
