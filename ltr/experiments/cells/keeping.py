"""The best weights of a training, kept in memory: a cell leaves figures behind, not model folders."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from ltr.training import RankingModule
from ltr.training.run.monitor import is_better


class KeepBest(pl.Callback):
    """Remembers the weights that dev likes best, and the course of the training.

    Args:
        monitor: the measure of dev that decides.
        larger: whether larger is better.
        patience: stop after so many validations without a better value; None never stops early.

    Attributes:
        rows: one per validation: step, epoch, ``dev/...`` and ``train/...`` values.
        value: the best dev value; None as long as no validation gave a number.
        step: the optimiser step at which it was found.
    """

    def __init__(self, monitor: str, larger: bool, patience: int | None = None):
        self.monitor, self.larger, self.patience = monitor, larger, patience
        self.rows: list[dict[str, Any]] = []
        self.value: float | None = None
        self.step = 0
        self._weights: dict[str, Tensor] = {}
        self._waiting = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return  # nothing is trained yet
        weights = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(("dev/", "train/")) and name != "train/docs_per_second"
        }
        self.rows.append({"step": trainer.global_step, "epoch": trainer.current_epoch, **weights})
        value = weights[f"dev/{self.monitor}"]
        if is_better(value, self.value, self.larger):
            self.value, self.step, self._waiting = value, trainer.global_step, 0
            assert isinstance(pl_module, RankingModule)
            self._weights = {name: one.detach().clone() for name, one in pl_module.scorer.state_dict().items()}
        else:
            self._waiting += 1
            if self.patience is not None and self._waiting >= self.patience:
                trainer.should_stop = True

    def restore(self, scorer: torch.nn.Module) -> None:
        """Put the best weights back."""
        scorer.load_state_dict(self._weights)
