"""What a data set's test part really is: its lists, labels and judgements, the same for every cell."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltr.errors import DataError
from ltr.io.runs import Run
from ltr.io.trec import Qrels


@dataclass(frozen=True, eq=False)
class Truth:
    """The test part of a data set, lists in the order of their query ids.

    Attributes:
        query_ids: [lists].
        offsets: [lists + 1]; the documents of list i are ``offsets[i]:offsets[i + 1]``.
        doc_ids: [documents], in the order of their ids inside a list.
        labels: [documents] as the loss sees them.
        gains: [documents] labels in the unit of engagement, the gain of nDCG on labels.
        qrels: judgements of the queries; None where labels are real values.
        order: [documents] from this order to that in which the data came.
        first: [documents] scores of the first stage; None where there is none.
    """

    query_ids: list[str]
    offsets: np.ndarray
    doc_ids: list[str]
    labels: np.ndarray
    gains: np.ndarray
    qrels: Qrels | None
    order: np.ndarray
    first: np.ndarray | None = None

    @classmethod
    def of(cls, data: Any, scored: Any) -> Truth:
        """From a data module and what RankingModule scored of its test part."""
        return cls._of(data, scored.query_ids, scored.offsets, scored.doc_ids, scored.labels)

    @classmethod
    def of_batch(cls, data: Any, batch: Any) -> Truth:
        """From a data module and its test part as one batch."""
        labels = batch.labels.numpy()
        return cls._of(data, batch.query_ids, batch.list_offsets.numpy(), batch.doc_ids, labels)

    @classmethod
    def _of(cls, data: Any, query_ids: list[str], offsets: np.ndarray, doc_ids: list[str], labels: np.ndarray) -> Truth:
        owner = np.repeat(np.array(query_ids), np.diff(offsets))
        order = np.lexsort((np.array(doc_ids), owner))
        ranked = np.argsort(np.array(query_ids))
        sizes = np.diff(offsets)[ranked]
        labels = np.asarray(labels, np.float32)[order]
        names = [query_ids[i] for i in ranked]
        docs = [doc_ids[i] for i in order]
        gains = np.asarray(data.gains(labels) if hasattr(data, "gains") else labels, np.float64)
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        first = _first(data.test_run, names, bounds, docs)
        return cls(names, bounds, docs, labels, gains, data.test_qrels, order, first)

    def sorted(self, values: np.ndarray) -> np.ndarray:
        """[documents] values that came with the data, in the truth's order."""
        return np.asarray(values)[self.order]

    def run(self, scores: np.ndarray, name: str) -> Run:
        """The test part ranked by ``scores`` [documents]."""
        return Run(self.query_ids, self.offsets, np.array(self.doc_ids, object), np.asarray(scores, np.float64), name)

    @property
    def signature(self) -> str:
        """16 hexadecimal digits that change with lists, labels or judgements."""
        found = hashlib.sha256()
        for part in (self.query_ids, self.doc_ids, self.qrels):
            found.update(json.dumps(part, sort_keys=True).encode())
        for array in (self.offsets.astype(np.int64), self.labels.astype(np.float32)):
            found.update(array.tobytes())
        return found.hexdigest()[:16]

    def dump(self) -> bytes:
        """As bytes for a file (numpy's npz, without pickled objects)."""
        facts = {"query_ids": self.query_ids, "doc_ids": self.doc_ids, "qrels": self.qrels}
        arrays = {"offsets": self.offsets, "labels": self.labels, "gains": self.gains, "order": self.order}
        if self.first is not None:
            arrays["first"] = self.first
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
                first = file.get("first")
                arrays = {name: file[name] for name in ("offsets", "labels", "gains", "order")}
        except (ValueError, KeyError, OSError) as error:
            raise DataError(f"{where}: not the test part of a benchmark: {error}; remove the folder") from error
        return cls(**facts, **arrays, first=first)


def _first(run: Run | None, query_ids: list[str], offsets: np.ndarray, doc_ids: list[str]) -> np.ndarray | None:
    """[documents] scores of the first stage, in the truth's order."""
    if run is None:
        return None
    found = np.empty(len(doc_ids))
    for i, query_id in enumerate(query_ids):
        docs, scores = run[query_id]
        by_id = dict(zip(docs.tolist(), scores.tolist(), strict=True))
        span = slice(int(offsets[i]), int(offsets[i + 1]))
        found[span] = [by_id[doc_id] for doc_id in doc_ids[span]]
    return found
