"""Trainings of a few steps in a run folder, and signals that end them."""

import os
import signal

import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from ltr.losses import ListNet
from ltr.scorers import MLPScorer
from ltr.training import RankingModule, RunFolder
from ltr.training.fitting import fit
from ltr.training.run.records import read_manifest, read_metrics
from tests.training.test_feature_runs import letor
from tests.training.toys import trainer


class Signal(pl.Callback):
    """Sends signals while a step is computed, or in a batch of the validation after it."""

    def __init__(self, step, *numbers, validating=False):
        self.step, self.numbers, self.validating = step, numbers or (signal.SIGINT,), validating

    def on_before_optimizer_step(self, trainer, *args):
        if not self.validating and trainer.global_step == self.step - 1:
            self.send()

    def on_validation_batch_end(self, trainer, *args):
        if self.validating and trainer.state.fn == "fit" and trainer.global_step == self.step:
            self.send()

    def send(self):
        for number in self.numbers:
            os.kill(os.getpid(), number)


def run(folder, fold, resumed=False, stop=None, lr=0.05, loss=None, make=MLPScorer, data=None, **settings):
    """A training on 12 lists in 4 batches an epoch, and its dev lists in as many."""
    torch.manual_seed(0)
    own = {
        name: settings.pop(name)
        for name in ("patience", "average", "save_every_minutes", "overwrite")
        if name in settings
    }
    callback = RunFolder(str(folder), monitor="ndcg@3", **own)
    callback.resumed = resumed
    callback.claim()
    module = RankingModule(make(), loss or ListNet(), lr=lr, measures=["ndcg@3"])
    callbacks = [callback, *([stop] if stop else [])]
    loop = trainer(callbacks=callbacks, **{"max_epochs": 2, "log_every_n_steps": 1, **settings})
    fit(loop, module, data or letor(fold, lists_per_batch=3), callback)
    return callback, module, loop


def left(folder):
    """Weights, validations and course of a training."""
    rows = [{k: v for k, v in row.items() if "second" not in k} for row in read_metrics(folder, until_step=99)]
    weights = load_file(folder / "last" / "model.safetensors")
    runs = {path.name: path.read_text() for path in (folder / "dev").iterdir()}
    manifest = {k: v for k, v in read_manifest(folder).items() if k in ("status", "step", "best")}
    return rows, {name: tensor.tolist() for name, tensor in weights.items()}, runs, manifest


def dropping():
    return MLPScorer(dropout=0.3)
