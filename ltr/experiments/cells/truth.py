"""What a data set's test part really is: its lists, labels and judgements, the same for every cell."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ltr.errors import DataError
from ltr.io.labelled import LabelledLists
from ltr.io.offsets import offsets_of
from ltr.io.runs import Run
from ltr.io.trec import Qrels

if TYPE_CHECKING:
    from ltr.data.base import RankingData

#: what numpy and zipfile raise for a file that is no npz, is cut short or damaged
_UNREADABLE = (
    ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Truth(LabelledLists):
    """The test part of a data set: lists in the order of their query ids, documents of a list in that of theirs.

    Args:
        query_ids, offsets, labels, gains, doc_ids, unit, gain_unit, lengths: see ``LabelledLists``.
        qrels: judgements of the queries; None where labels are real values.
        first: [documents] scores of the first stage; None where there is none.
        mean: of the training labels, in the unit of the labels; None where it is not known.
    """

    def __init__(
        self,
        query_ids: Sequence[str],
        offsets: np.ndarray,
        labels: np.ndarray,
        gains: np.ndarray,
        doc_ids: Sequence[str],
        unit: str = "",
        gain_unit: str = "",
        lengths: np.ndarray | None = None,
        *,
        qrels: Qrels | None,
        first: np.ndarray | None = None,
        mean: float | None = None,
    ):
        super().__init__(query_ids, offsets, labels, gains, doc_ids, unit, gain_unit, lengths)
        self.qrels, self.first, self.mean = qrels, first, mean

    @classmethod
    def of(cls, data: RankingData, lists: LabelledLists) -> tuple[Truth, np.ndarray]:
        """The truth, and [documents] the places in ``lists`` of its documents.

        Args:
            data: the data module.
            lists: its test part, in any order.
        """
        owner = np.repeat(np.array(lists.query_ids), np.diff(lists.offsets))
        order = np.lexsort((np.array(lists.doc_ids), owner))
        ranked = np.argsort(np.array(lists.query_ids))
        query_ids = [lists.query_ids[i] for i in ranked]
        doc_ids = [lists.doc_ids[i] for i in order]
        offsets = offsets_of(np.diff(lists.offsets)[ranked])
        part = data.part("test")
        first = _first(part.first, query_ids, offsets, doc_ids)
        lengths = None if lists.lengths is None else lists.lengths[order]
        labelled = lists.labels[order], lists.gains[order], doc_ids, lists.unit, lists.gain_unit, lengths
        truth = cls(query_ids, offsets, *labelled, qrels=part.qrels, first=first, mean=data.mean_label)
        return truth, order

    @property
    def signature(self) -> str:
        """16 hexadecimal digits that change with lists, judgements or gains."""
        digest = hashlib.sha256()
        for part in (self.query_ids, self.doc_ids, self.qrels):
            digest.update(json.dumps(part, sort_keys=True).encode())
        digest.update(self.offsets.astype(np.int64).tobytes())
        digest.update(np.add(self.gains, 0.0, dtype=np.float64).tobytes())  # -0.0 becomes 0.0
        return digest.hexdigest()[:16]

    def same_as(self, other: Truth) -> bool:
        """Whether lists, judgements and gains are the same; labels may stand in another unit."""
        ids = all(getattr(self, name) == getattr(other, name) for name in ("query_ids", "doc_ids", "qrels"))
        return ids and np.array_equal(self.offsets, other.offsets) and np.array_equal(self.gains, other.gains)

    def dump(self) -> bytes:
        """As bytes for a file (numpy's npz, without pickled objects)."""
        names = ("query_ids", "doc_ids", "qrels", "unit", "gain_unit", "mean")
        facts = {name: getattr(self, name) for name in names}
        arrays = {"offsets": self.offsets, "labels": self.labels, "gains": self.gains}
        held = {"first": self.first, "lengths": self.lengths}
        arrays |= {name: values for name, values in held.items() if values is not None}
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        np.savez_compressed(buffer, allow_pickle=False, facts=text, **arrays)
        return buffer.getvalue()

    @classmethod
    def load(cls, content: bytes, where: str) -> Truth:
        """From ``dump``. Raises DataError naming the file ``where`` when it is none."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                facts = json.loads(file["facts"].tobytes())
                held = {name: file.get(name) for name in ("first", "lengths")}
                arrays = {name: file[name] for name in ("offsets", "labels", "gains")}
        except _UNREADABLE as error:
            raise DataError(f"{where}: not the test part of a benchmark: {error}; remove the folder") from error
        return cls(**facts, **arrays, **held)


def _first(run: Run | None, query_ids: list[str], offsets: np.ndarray, doc_ids: list[str]) -> np.ndarray | None:
    """[documents] scores of the first stage, in the truth's order."""
    if run is None:
        return None
    first = np.empty(len(doc_ids))
    for i, query_id in enumerate(query_ids):
        docs, scores = run[query_id]
        by_id = dict(zip(docs.tolist(), scores.tolist(), strict=True))
        span = slice(int(offsets[i]), int(offsets[i + 1]))
        first[span] = [by_id[doc_id] for doc_id in doc_ids[span]]
    return first
