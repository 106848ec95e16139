"""Batches of documents that are described by numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ltr.batch.lists import Lists, ids_of, tensor_of
from ltr.batch.tokens import check_offsets
from ltr.errors import ShapeError


@dataclass
class FeatureLists(Lists):
    """Lists of documents that are described by numbers.

    Attributes:
        features: [rows, features] float32, the documents of all lists one after the other.
    """

    features: Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    @property
    def n_rows(self) -> int:
        return len(self.features)

    @property
    def n_features(self) -> int:
        """Numbers that describe a document."""
        return self.features.shape[1]

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        list_offsets: np.ndarray,
        labels: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        query_ids: Sequence[str] = (),
        doc_ids: Sequence[str] = (),
    ) -> FeatureLists:
        """From numpy arrays; weights are one per list, or one per document (then kept as [lists, docs]).

        >>> batch = FeatureLists.of(np.eye(3), np.array([0, 2, 3]), weights=np.array([1.0, 2.0, 5.0]))
        >>> len(batch), batch.n_features, batch.weights.tolist()
        (2, 3, [[1.0, 2.0], [5.0, 0.0]])

        Raises:
            ShapeError: offsets that do not rise from 0, features that are no matrix with a row for each document of the
                lists, labels that are not one per document, or weights neither one per list nor one per document.
        """
        check_offsets("FeatureLists", "list_offsets", list_offsets)
        n_docs, n_lists = int(list_offsets[-1]), len(list_offsets) - 1
        if features.ndim != 2 or len(features) != n_docs:
            raise ShapeError(
                f"FeatureLists: features must be [documents, features] with {n_docs} documents, as the lists hold, "
                f"got {list(features.shape)}"
            )
        if labels is not None and labels.shape != (n_docs,):
            raise ShapeError(f"FeatureLists: labels must be [{n_docs}], one per document, got {list(labels.shape)}")
        if weights is not None and weights.shape not in ((n_lists,), (n_docs,)):
            raise ShapeError(
                f"FeatureLists: weights must be one per list [{n_lists}] or per document [{n_docs}], "
                f"got {list(weights.shape)}"
            )
        offsets, matrix = tensor_of(list_offsets, np.int64), tensor_of(features, np.float32)
        assert offsets is not None
        assert matrix is not None
        made = cls(offsets, tensor_of(labels, np.float32), None, ids_of(query_ids), ids_of(doc_ids), features=matrix)
        if weights is not None:
            flat = tensor_of(weights, np.float32)
            assert flat is not None
            made.weights = flat if len(flat) == n_lists else made.pad(flat)
        return made
