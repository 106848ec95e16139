"""Refuses a training whose dev or test part holds what it trains on, before step 1."""

from __future__ import annotations

import logging

import pytorch_lightning as pl

from ltr.data.overlap import overlaps, refuse_overlap
from ltr.training.given_data import ranking_data

log = logging.getLogger(__name__)

#: how a user says that parts share queries on purpose
OPTION = "--allow_overlap=true"


class RefuseOverlap(pl.Callback):
    """Compares the parts of the data once they are prepared; see ``ltr.data.overlap``.

    Args:
        allowed: say what they share, and train all the same.

    Raises:
        DataError: dev or test hold queries (documents in lists) that are trained on, when training starts.
    """

    def __init__(self, allowed: bool = False):
        self.allowed = allowed

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            told = refuse_overlap(overlaps(ranking_data(trainer)), self.allowed, OPTION)
            for sentence in told if trainer.is_global_zero else ():
                log.warning("%s", sentence)
