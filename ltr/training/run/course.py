"""The course of a training: a row of values for each step that was logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from ltr.training.run.records import read_metrics, write_metrics


class Course:
    """Rows of step, epoch and what was logged there, as ``metrics.csv`` holds them."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def is_new(self, step: int) -> bool:
        """Whether nothing was recorded at a step yet."""
        return not self.rows or self.rows[-1]["step"] != step

    def record(self, trainer: pl.Trainer, *prefixes: str) -> None:
        """Add the logged values whose names begin so to the row of the step."""
        values = {
            name: value.item() if isinstance(value, Tensor) else value
            for name, value in trainer.callback_metrics.items()
            if name.startswith(prefixes)
        }
        row: dict[str, Any] = {"step": trainer.global_step, "epoch": trainer.current_epoch, **values}
        if self.is_new(trainer.global_step):
            self.rows.append(row)
        else:
            self.rows[-1].update(row)

    def steps_of(self, name: str) -> list[int]:
        """The steps at which a value was logged."""
        return [row["step"] for row in self.rows if name in row]

    def write(self, folder: Path) -> None:
        """Write the rows to a run folder."""
        write_metrics(folder, self.rows)

    def read(self, folder: Path, until_step: int) -> None:
        """Take up the rows of a run folder up to a step."""
        self.rows = read_metrics(folder, until_step)
