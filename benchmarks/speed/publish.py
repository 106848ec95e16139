"""How long publishing a benchmark takes: measuring, intervals, contrasts, tables and the page.

    python benchmarks/speed/publish.py [--seeds 5] [--quick] [--output results.json]

Fills a temporary folder with drawn scores of the size of ``configs/benchmarks/dwell.yaml``: 28 systems, 298 lists with 2,169
documents, seven measures, of which six pool all documents. Nothing is trained. Seconds are the processor's (one thread),
so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from common.report import table, write

from ltr.experiments.cells.cell import Outcome, Task
from ltr.experiments.cells.runner import run
from ltr.experiments.cells.truth import Truth
from ltr.experiments.publishing.publish import publish
from ltr.experiments.spec.reading import read_spec
from ltr.metrics import LabelledLists

SPEC = Path(__file__).parents[2] / "configs" / "benchmarks" / "dwell.yaml"
LISTS, DOCS = 298, 2169


def drawn_truth() -> Truth:
    """Lists of seven or eight documents with drawn seconds."""
    sizes = np.full(LISTS, DOCS // LISTS)
    sizes[: DOCS - sizes.sum()] += 1
    seconds = np.random.default_rng(0).gamma(1.0, 60.0, DOCS).round(2)
    ids = [f"list-{i}" for i in range(LISTS)]
    docs = [f"d{j}" for size in sizes for j in range(size)]
    lists = LabelledLists(ids, np.concatenate([[0], np.cumsum(sizes)]), np.log1p(seconds), seconds, docs)
    data = SimpleNamespace(part=lambda name: SimpleNamespace(qrels=None, first=None), mean_label=None)
    return Truth.of(data, lists)[0]


class Drawn:
    """Gives every cell drawn scores instead of training it."""

    slots = 1

    def __init__(self) -> None:
        self.truth, self.rng = drawn_truth(), np.random.default_rng(1)
        self.task: Task | None = None

    def submit(self, task: Task) -> None:
        self.task = task

    def next(self) -> tuple[Task, Outcome]:
        task = self.task
        assert task is not None
        record = {"status": "finished", "value": float(self.rng.random()), "loss": task.loss, "seconds": 1.0}
        record |= {"total_seconds": 1.0, "memory_mb": 1.0}
        course = json.dumps([{"step": step, f"dev/{task.monitor}": 1 / step} for step in range(1, 20)])
        outcome = Outcome(record, {"course.json": course.encode()}, self.truth if task.test else None)
        if task.test:
            buffer = io.BytesIO()
            np.save(buffer, (self.truth.labels + self.rng.normal(0, 1.5, DOCS)).astype(np.float32))
            outcome.files["scores.npy"] = buffer.getvalue()
        return task, outcome

    def close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--output", help="another file than results/speed/publish.json")
    args = parser.parse_args()
    seeds = 1 if args.quick else args.seeds
    os.environ.setdefault("LTR_DATA", "nowhere")
    with tempfile.TemporaryDirectory() as folder:
        spec = read_spec(SPEC, [f"folder={folder}", f"seeds={seeds}", "tuning.trials=1"])
        groups = run(spec, Drawn(), lambda _: None)
        start, clock = time.process_time(), time.perf_counter()
        publish(spec, groups, lambda _: None)
        row = {"seeds": seeds, "processor s": round(time.process_time() - start, 1)}
        row["clock s"] = round(time.perf_counter() - clock, 1)
    print(table([row]))
    write("publish", {"rows": [row]}, ("numpy", "scipy", "matplotlib"), args.output)


if __name__ == "__main__":
    main()
