"""The plan of a benchmark, and how long it will take: from cells that are finished, else from a few timed steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from ltr.experiments.cells.cell import TRAINER, Task, parts_of
from ltr.experiments.cells.runner import duration, loaded, of_other_data, overlapping, refuse_unknown
from ltr.experiments.spec.plan import Group
from ltr.experiments.spec.spec import Spec
from ltr.report.tables.table import Table

#: training steps that are timed, after one that is not
STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """Seconds that a cell will take, and where that is known from."""

    seconds: float
    source: str


def plan_text(spec: Spec, workers: int, trust_data: bool = False) -> str:
    """What would run, as a table, with an estimate of the time it takes.

    Args:
        spec: the benchmark.
        workers: cells that run side by side.
        trust_data: see ``ltr.experiments.cells.runner.loaded``.
    """
    groups, _ = loaded(spec, trust_data)
    refuse_unknown(spec, groups)
    warnings = [*of_other_data(groups), *overlapping(spec, groups)]
    torch.set_num_threads(spec.threads)  # as the workers that will run the cells
    known: dict[tuple[str, str], Estimate] = {}
    rows, total = [], 0.0
    for group in groups:
        lacking = group.n_cells - len(group.cells)
        estimate = _of(group, groups, known) if lacking else None
        rest = estimate.seconds * lacking if estimate else 0.0
        total += rest
        rows.append(
            [
                group.data_name, group.scorer_name, group.loss_name, group.n_trials, len(spec.seeds), len(group.cells),
                duration(rest) if lacking else "", estimate.source if estimate else "finished",
            ]
        )  # fmt: skip
    columns = ["data", "scorer", "loss", "trials", "seeds", "finished", "still takes", "known from"]
    cells = sum(group.n_cells for group in groups)
    finished = sum(len(group.cells) for group in groups)
    notes = [
        f"{cells} cells, {finished} of them finished; monitor dev/{spec.monitor}; results in {spec.folder}",
        f"about {duration(total / min(workers, max(cells - finished, 1)))} with {workers} cells at a time",
        *(f"! {text}" for text in warnings),
    ]
    return Table(columns, rows, f"Plan of {spec.name}", notes=notes).text()


def _of(group: Group, groups: Sequence[Group], known: dict[tuple[str, str], Estimate]) -> Estimate:
    """Seconds of a cell: its own finished ones, those of its data set and scorer, or timed steps."""
    key = (group.data_name, group.scorer_name)
    for kin, source in (
        ([group], "its cells"),
        ([g for g in groups if (g.data_name, g.scorer_name) == key], "its kin"),
    ):
        spent = [cell.record["total_seconds"] for g in kin for cell in g.cells if cell.finished]
        if spent:
            return Estimate(float(np.mean(spent)), source)
    if group.outside:
        return Estimate(0.0, "not known before the first")
    if key not in known:
        known[key] = Estimate(timed(group.example()), f"{STEPS} timed steps")
    return known[key]


def timed(task: Task) -> float:
    """Seconds that a cell takes, from a few steps of training and one batch of validation."""
    parts_of(task)[0].prepare_data()  # downloads, indexes and tokens are made once, not for every cell
    start = time.perf_counter()
    data, module = parts_of(task)
    data.prepare_data()
    watch = Stopwatch()
    short = {"max_steps": STEPS + 1, "max_epochs": -1, "limit_val_batches": 1, "val_check_interval": STEPS + 1}
    settings = {**TRAINER, **task.trainer, **short, "check_val_every_n_epoch": None}
    ready = time.perf_counter() - start
    pl.Trainer(**settings, callbacks=[watch]).fit(module, datamodule=data)
    train, dev = len(data.train_dataloader()), len(data.val_dataloader())
    epochs = task.trainer.get("max_epochs", 1)
    return ready + epochs * (train * watch.step + dev * watch.check) + (dev * watch.check if task.test else 0.0)


class Stopwatch(pl.Callback):
    """Times training steps, the first one aside, and one batch of validation."""

    def __init__(self) -> None:
        self.step = self.check = 0.0
        self._begun = 0.0

    def on_train_batch_start(self, *args: Any) -> None:
        self._begun = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step > 1:
            self.step += (time.perf_counter() - self._begun) / STEPS

    def on_validation_start(self, *args: Any) -> None:
        self._begun = time.perf_counter()

    def on_validation_end(self, *args: Any) -> None:
        self.check = time.perf_counter() - self._begun
