"""Lists of documents with real-valued labels in full precision: what predictions are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltr.errors import DataError, ShapeError
from ltr.io.runs import Run


class LabelledLists:
    """Lists of documents with real-valued labels: what predictions are measured against.

    Batches carry labels in float32 and in the unit that is learnt. A label of 0 that was scaled, rounded and scaled back
    is no longer 0, and what was distinct may be equal: whatever is measured takes the labels from here.

    Args:
        query_ids: one per list.
        offsets: [lists + 1]; the documents of list i are at ``offsets[i]:offsets[i + 1]``.
        labels: [documents], finite, in the unit that a model predicts (such as log1p seconds).
        gains: [documents] what nDCG sums up: labels as their source gives them (such as seconds), or another field; default: the labels.
        doc_ids: one per document, where runs are to be looked up or made.
        unit: of the labels, in words, such as ``log(1 + seconds)``; empty where it is not known.
        gain_unit: of the gains, or the name of that field.
        lengths: [documents] how long each is, where that is a yardstick: then documents by length have a row of their own.

    Raises:
        ShapeError: when these do not fit together.
        DataError: a label or gain that is not finite.

    >>> LabelledLists(["a", "b"], [0, 2, 3], [1.0, 0.5, 2.0])
    LabelledLists(2 lists, 3 documents)
    """

    def __init__(
        self,
        query_ids: Sequence[str],
        offsets: Sequence[int] | np.ndarray,
        labels: Sequence[float] | np.ndarray,
        gains: Sequence[float] | np.ndarray | None = None,
        doc_ids: Sequence[str] = (),
        unit: str = "",
        gain_unit: str = "",
        lengths: np.ndarray | None = None,
    ):
        self.unit, self.gain_unit = unit, gain_unit
        self.lengths = None if lengths is None else np.asarray(lengths, np.float64)
        self.query_ids, self.doc_ids = list(query_ids), list(doc_ids)
        self.offsets = np.asarray(offsets, np.int64)
        self.labels = np.asarray(labels, np.float64)
        self.gains = self.labels if gains is None else np.asarray(gains, np.float64)
        n = len(self.labels)
        if (
            self.offsets.shape != (len(self.query_ids) + 1,)
            or self.offsets[0] != 0
            or self.offsets[-1] != n
            or (np.diff(self.offsets) < 0).any()
            or len(self.doc_ids) not in (0, n)
        ):
            raise ShapeError(
                f"labels: offsets must rise from 0 to the number of documents, one more than lists; got "
                f"{len(self.query_ids)} lists, offsets of shape {self.offsets.shape}, {n} labels, "
                f"{len(self.doc_ids)} document ids"
            )
        if self.gains.shape != self.labels.shape:
            raise ShapeError(f"labels: needs a gain for each of {n} labels, got shape {self.gains.shape}")
        if self.lengths is not None and self.lengths.shape != self.labels.shape:
            raise ShapeError(f"labels: needs a length for each of {n} labels, got shape {self.lengths.shape}")
        for what, values in (("label", self.labels), ("gain", self.gains)):
            if not np.isfinite(values).all():
                at = int(np.argmin(np.isfinite(values)))
                query = self.query_ids[int(np.searchsorted(self.offsets, at, "right")) - 1]
                raise DataError(f"labels: every {what} must be finite, got {values[at]} in list {query}")

    def __len__(self) -> int:
        """Number of lists."""
        return len(self.query_ids)

    def __repr__(self) -> str:
        return f"LabelledLists({len(self)} lists, {len(self.labels)} documents)"

    def predictions(self, run: Run) -> np.ndarray:
        """[documents] a run's scores, in the order of the labels.

        Raises:
            DataError: naming the first document that the run does not score.
        """
        predictions = np.empty(len(self.labels))
        for i, query_id in enumerate(self.query_ids):
            scores = dict(zip(*(part.tolist() for part in run[query_id]), strict=True)) if query_id in run else {}
            for j in range(int(self.offsets[i]), int(self.offsets[i + 1])):
                if self.doc_ids[j] not in scores:
                    raise DataError(
                        f"run {run.name}: query {query_id}, document {self.doc_ids[j]} has a label and no score; a run is "
                        "measured against labels only where it scores every document"
                    )
                predictions[j] = scores[self.doc_ids[j]]
        return predictions

    def ranked(self, predictions: np.ndarray, name: str) -> Run:
        """The documents of each list ranked by their predictions, under a name."""
        return Run(self.query_ids, self.offsets, self.doc_ids, predictions, name)
