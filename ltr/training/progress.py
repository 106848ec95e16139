"""How far a training has come, as lines of a log: for files and pipes, where Lightning's bar is of no use."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar, TQDMProgressBar

from ltr.batch import Lists
from ltr.data.base import PartName
from ltr.machine.loudness import shows_bars
from ltr.training.module import RankingModule
from ltr.training.run.run_folder import RunFolder

log = logging.getLogger(__name__)

#: seconds from line to line
EVERY = 20.0
#: the first line comes after so many batches (or ``EVERY`` seconds): the very first takes longer than those that follow
SURE = 5
#: lines over which the time of a batch is averaged: the last five minutes, since a machine's load changes
WINDOW = 16
#: seconds; where the last validation took less, the start of the next is not worth a line
SHORT = 1.0


class Progress(pl.Callback):
    """Says every 20 seconds how far a training has come, and how long it will take.

    Between two lines it reads a clock and nothing else. The time left is that of the steps and validations to come, up
    to ``max_epochs`` or ``max_steps``; what follows a training (the mean of weights, the test part) is not counted.
    With several processes, the first speaks of its own documents.

    Args:
        run: the run folder that judges the validations.
        lines: whether to log; without, only ``estimated`` is told.
        clock: gives seconds that never run backwards.

    Attributes:
        validation_seconds: what a validation takes. Known after the first; who can tell before may set it.
        estimated: called once, with the seconds left, as soon as the first steps have been measured.
    """

    def __init__(self, run: RunFolder, lines: bool = True, clock: Callable[[], float] = time.monotonic):
        self.validation_seconds: float | None = None
        self.estimated: Callable[[float], None] | None = None
        self._run, self._lines, self._clock = run, lines, clock
        self._due = 0.0
        # training: seconds spent on validations, batches and the step at the start, (seconds, batches) of earlier lines
        self._paused, self._batches, self._first_step, self._told = 0.0, 0, 0, False
        self._marks: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        # dev or test: when it began, what is counted, how many are done, and of how many
        self._began, self._unit, self._scored, self._all = 0.0, "lists", 0, math.inf

    # ------------------------------------------------------------------ steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        now = self._clock()
        self._due = now + EVERY
        self._paused, self._batches, self._first_step, self._told = 0.0, 0, trainer.global_step, False
        self._marks.clear()
        self._marks.append((now, 0))

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        now = self._clock()
        self._batches += 1
        if self._batches == 1:
            self._marks.append((now - self._paused, 1))
        elif self._batches == 2:
            self._marks.popleft()  # from now on there are batches without what only the first takes
        if now < self._due and (self._told or self._batches < SURE):
            return
        if trainer.global_step == self._first_step or not trainer.is_global_zero:
            return  # accumulated batches: there is no loss yet
        self._due = now + EVERY
        left = self._left(trainer, now - self._paused)
        if not self._told and self.estimated is not None:
            self.estimated(left)
        self._told = True
        if self._lines:
            step, steps = trainer.global_step, trainer.estimated_stepping_batches
            rate = float(trainer.callback_metrics["train/docs_per_second"])
            known = "" if self.validation_seconds is not None else ", validation not counted"
            log.info(
                "step %d of %.0f (%.0f %%): loss %.4g, %s documents a second, %s left%s",
                *(step, steps, 100 * step / steps, float(trainer.callback_metrics["train/loss"])),
                *(f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}", spelt(left), known),
            )

    def _left(self, trainer: pl.Trainer, trained: float) -> float:
        """Seconds that steps and validations will take, after ``trained`` seconds of steps."""
        then, batches = self._marks[0]
        self._marks.append((trained, self._batches))
        to_come = (trainer.estimated_stepping_batches - trainer.global_step) * trainer.accumulate_grad_batches
        # None: validations come by time; then those at the ends of epochs are counted
        between = (trainer.val_check_batch or trainer.num_training_batches) * (trainer.check_val_every_n_epoch or 1)
        validations = to_come // between + 1  # a batch ends before its validation begins
        return to_come * (trained - then) / (self._batches - batches) + validations * (self.validation_seconds or 0.0)

    # ------------------------------------------------------------------ dev and test

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer, pl_module, "dev", trainer.num_val_batches, trainer.limit_val_batches)
        short = self.validation_seconds is not None and self.validation_seconds < SHORT
        if trainer.state.fn == "fit" and not short and self._speaks(trainer):
            many = "" if self._all == math.inf else f": {self._all:.0f} {self._unit}"
            log.info("validation at step %d%s", trainer.global_step, many)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer, pl_module, "test", trainer.num_test_batches, trainer.limit_test_batches)

    def _begin(
        self, trainer: pl.Trainer, module: pl.LightningModule, name: PartName, batches: list[Any], limit: Any
    ) -> None:
        assert isinstance(module, RankingModule)
        known = module.data.part(name).query_ids
        # one of several processes scores some of the lists, and so does a limit (an integer 1 is one batch)
        if known is not None and trainer.world_size == 1 and limit == 1.0 and isinstance(limit, float):
            self._unit, self._all = "lists", len(known)
        else:
            self._unit, self._all = "batches", sum(batches)
        self._scored, self._began = 0, self._clock()
        self._due = self._began + EVERY

    def on_validation_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Lists, *args: Any) -> None:
        self._scored_batch(trainer, "validation", batch)

    def on_test_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Lists, *args: Any) -> None:
        self._scored_batch(trainer, "test", batch)

    def _scored_batch(self, trainer: pl.Trainer, name: str, batch: Lists) -> None:
        self._scored += len(batch) if self._unit == "lists" else 1
        now = self._clock()
        if now < self._due:
            return
        self._due = now + EVERY
        if not self._speaks(trainer):
            return
        if self._all == math.inf:
            log.info("%s: %d %s scored", name, self._scored, self._unit)
            return
        left = (now - self._began) * (self._all - self._scored) / self._scored
        log.info(
            "%s: %d of %d %s scored (%.0f %%), %s left",
            *(name, self._scored, self._all, self._unit, 100 * self._scored / self._all, spelt(left)),
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        now = self._clock()
        self.validation_seconds = now - self._began
        self._paused += self.validation_seconds
        self._due = now + EVERY
        if trainer.state.fn == "fit" and self._speaks(trainer):
            assert isinstance(pl_module, RankingModule)
            run = self._run
            best = ""
            if run.best.value is not None:
                new = run.best.step == trainer.global_step
                best = ", the best so far" if new else f"; the best is {run.best.value:.4f} at step {run.best.step}"
            log.info(
                "validation at step %d: dev/%s %.4f%s (%s)",
                *(trainer.global_step, run.monitor, pl_module.values[run.monitor], best),
                spelt(self.validation_seconds),
            )

    def _speaks(self, trainer: pl.Trainer) -> bool:
        return self._lines and trainer.is_global_zero and not trainer.sanity_checking


def instead_of_bar(trainer: pl.Trainer) -> bool:
    """Whether lines are to say how far a training has come: there is no bar, or it would not meet a terminal.

    Lightning's own bars, which write the same line over and over, are switched off where they would fill a file.
    """
    bar = trainer.progress_bar_callback
    terminal = sys.stdout.isatty() and shows_bars()
    if isinstance(bar, (TQDMProgressBar, RichProgressBar)):
        if not terminal:
            bar.disable()
        return not bar.is_enabled
    return bar is None or not terminal


def spelt(seconds: float) -> str:
    """A time for people.

    >>> spelt(39.6), spelt(59.7), spelt(750), spelt(7500)
    ('40 s', '1:00 min', '12:30 min', '2:05 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d} h"
