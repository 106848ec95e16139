"""Cells that are not trained: each gives scores drawn from its name, so that figures can be computed by hand as well."""

import io
import zlib
from types import SimpleNamespace

import numpy as np

from ltr.data.base import Part
from ltr.experiments.cells.cell import Outcome
from ltr.experiments.cells.truth import Truth
from ltr.io.runs import Run
from ltr.metrics import LabelledLists


class Pretend:
    """Gives drawn scores of the test parts; ``fails`` are titles of cells that fail, ``lacks`` of those never run."""

    slots = 1

    def __init__(self, truths, fails=(), stop_after=None):
        self.truths, self.fails, self.stop_after, self.ran = truths, fails, stop_after, []

    def submit(self, task):
        if len(self.ran) == self.stop_after:
            raise KeyboardInterrupt
        self.task = task
        self.ran.append(task.title)

    def next(self):
        task = self.task
        if any(text in task.title for text in self.fails):
            return task, Outcome({"status": "failed", "reason": "it was to fail", "total_seconds": 1.0})
        number = int(task.run.rpartition("-")[2])
        rng = np.random.default_rng(zlib.crc32(task.title.encode()))
        record = {
            "status": "finished", "value": float(rng.random()), "step": 2, "steps": 4, "seconds": 10.0 + number,
            "total_seconds": 20.0 + number, "memory_mb": 100.0 + number, "loss": task.loss,
        }  # fmt: skip
        course = f'[{{"step": 2, "dev/{task.monitor}": 0.5}}, {{"step": 4, "dev/{task.monitor}": 0.25}}]'
        outcome = Outcome(record, {"course.json": course.encode()})
        if task.test:
            outcome.truth = self.truths[task.data_name]
            noise = rng.normal(size=len(outcome.truth.doc_ids))
            buffer = io.BytesIO()
            np.save(buffer, (outcome.truth.labels + 1.5 * noise).astype(np.float32))
            outcome.files["scores.npy"] = buffer.getvalue()
        return task, outcome

    def close(self):
        pass


def judged(n=15, seed=0, prefix="q", first=True):
    """A test part of ``n`` judged queries with four to six documents each, and a first stage."""
    rng = np.random.default_rng(seed)
    lists = _lists(rng, n, prefix)
    grades = rng.integers(0, 3, len(lists.labels))
    grades[lists.offsets[:-1]] = 1
    lists = LabelledLists(lists.query_ids, lists.offsets, grades, None, lists.doc_ids)
    qrels, docs = {}, {}
    for i, query_id in enumerate(lists.query_ids):
        span = slice(int(lists.offsets[i]), int(lists.offsets[i + 1]))
        docs[query_id] = lists.doc_ids[span]
        qrels[query_id] = dict(zip(lists.doc_ids[span], grades[span].tolist(), strict=True))
    scores = rng.normal(size=len(grades))
    run = Run(lists.query_ids, lists.offsets, np.array(lists.doc_ids, object), scores, "bm25") if first else None
    return Truth.of(SimpleNamespace(part=lambda name: Part(qrels=qrels, first=run), mean_label=None), lists)[0]


def labelled(n=15, seed=0):
    """A test part of ``n`` lists with real-valued labels, as feature data have it."""
    rng = np.random.default_rng(seed)
    lists = _lists(rng, n, "list")
    seconds = rng.gamma(1.0, 60.0, len(lists.labels))
    lists = LabelledLists(lists.query_ids, lists.offsets, np.log1p(seconds), seconds, lists.doc_ids)
    return Truth.of(SimpleNamespace(part=lambda name: Part(qrels=None, first=None), mean_label=None), lists)[0]


def _lists(rng, n, prefix):
    sizes = rng.integers(4, 7, n)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    docs = [f"d{j + 1}" for size in sizes for j in range(size)]
    return LabelledLists([f"{prefix}{i + 1}" for i in range(n)], offsets, np.zeros(len(docs)), None, docs)
