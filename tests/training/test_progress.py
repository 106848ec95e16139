"""Progress as lines of a log: exact lines and estimates on a clock that stands still between batches."""

import logging
import re
import sys
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from ltr.data.base import Part
from ltr.losses import ListNet
from ltr.training import RankingModule, RunFolder
from ltr.training import module as module_file
from ltr.training.fitting import fit
from ltr.training.progress import Progress, instead_of_bar
from ltr.training.run.records import read_metrics
from tests.training.toys import Bag, Fixed, lists, trainer


class Bags(Bag):
    """The toy scorer, made to be saved."""

    def __init__(self, vocabulary: int = 50):
        super().__init__(vocabulary)
        self.vocabulary = vocabulary


class Machine(pl.Callback):
    """A clock, and a machine on which batches take the seconds that a function of their number says."""

    def __init__(self, training, scoring=15.0):
        self.now, self.training, self.scoring = 1000.0, training, scoring

    def __call__(self):
        return self.now

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.now += self.training(batch_idx)

    def on_validation_batch_start(self, *args, **options):
        self.now += self.scoring

    on_test_batch_start = on_validation_batch_start


class Endless(torch.utils.data.IterableDataset):
    """Batches, and no word of how many."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Toy(Fixed):
    """Dev (and test, when named) in three batches of one list each."""

    def __init__(self, steps, named=True, test=None):
        self.dev_batches = [lists([3], [0, 1, 0], seed=s, prefix=f"dev{s}") for s in range(3)]
        parts = [Fixed([], batch).dev_part for batch in self.dev_batches]
        super().__init__([lists([3, 3], [1, 0, 0, 0, 0, 1], seed=s) for s in range(steps)], self.dev_batches[0])
        qrels = {query: judged for part in parts for query, judged in part.qrels.items()}
        self.dev_part, self.test = Part(list(qrels) if named else None, qrels), test

    def part(self, name):
        return self.dev_part

    def val_dataloader(self):
        return torch.utils.data.DataLoader(self.dev_batches, batch_size=None)

    test_dataloader = val_dataloader


@pytest.fixture
def train(tmp_path, monkeypatch, caplog):
    """Trains the toy on a machine; gives the lines of its progress."""

    def trained(machine, data, lines=True, before=lambda progress: None, **settings):
        monkeypatch.setattr(module_file, "time", SimpleNamespace(perf_counter=machine))
        caplog.set_level(logging.INFO, "ltr")
        torch.manual_seed(0)
        run = RunFolder(str(tmp_path / "run"), monitor="mrr@10")
        run.claim()
        progress = Progress(run, lines, machine)
        before(progress)
        loop = trainer(callbacks=[machine, run, progress], log_every_n_steps=1, **settings)
        with caplog.at_level(logging.INFO, "ltr"):
            fit(loop, RankingModule(Bags(), ListNet(), lr=1e-3, measures=["mrr@10"]), data, run)
        return [r.getMessage() for r in caplog.records if r.name == "ltr.training.progress"]

    return trained


def test_every_line_of_a_training(train, tmp_path):
    machine = Machine(lambda batch: 30 if batch == 0 else 5)
    said = train(machine, Toy(steps=40, test="toy"), val_check_interval=20)
    rows = {row["step"]: row for row in read_metrics(tmp_path / "run", until_step=99)}
    loss = {step: f"{row['train/loss']:.4g}" for step, row in rows.items() if "train/loss" in row}
    mrr = {step: f"{rows[step]['dev/mrr@10']:.4f}" for step in (20, 40)}
    # after the first step (30 s) each takes 5 s: 4 steps in 20 s, 6 documents a step; 3 lists of 15 s are validated
    assert said[:-2] == [
        f"step 1 of 40 (2 %): loss {loss[1]}, 0.2 documents a second, 19:30 min left, validation not counted",
        f"step 5 of 40 (12 %): loss {loss[5]}, 1.2 documents a second, 2:55 min left, validation not counted",
        f"step 9 of 40 (22 %): loss {loss[9]}, 1.2 documents a second, 2:35 min left, validation not counted",
        f"step 13 of 40 (32 %): loss {loss[13]}, 1.2 documents a second, 2:15 min left, validation not counted",
        f"step 17 of 40 (42 %): loss {loss[17]}, 1.2 documents a second, 1:55 min left, validation not counted",
        "validation at step 20: 3 lists",
        "validation: 2 of 3 lists scored (67 %), 15 s left",
        f"validation at step 20: dev/mrr@10 {mrr[20]}, the best so far (45 s)",
        f"step 24 of 40 (60 %): loss {loss[24]}, 1.2 documents a second, 2:05 min left",
        f"step 28 of 40 (70 %): loss {loss[28]}, 1.2 documents a second, 1:45 min left",
        f"step 32 of 40 (80 %): loss {loss[32]}, 1.2 documents a second, 1:25 min left",
        f"step 36 of 40 (90 %): loss {loss[36]}, 1.2 documents a second, 1:05 min left",
        f"step 40 of 40 (100 %): loss {loss[40]}, 1.2 documents a second, 45 s left",
        "validation at step 40: 3 lists",
        "validation: 2 of 3 lists scored (67 %), 15 s left",
    ]
    assert said[-2:] == [
        f"validation at step 40: dev/mrr@10 {mrr[40]}; the best is {mrr[20]} at step 20 (45 s)",
        "test: 2 of 3 lists scored (67 %), 15 s left",
    ]


def test_the_estimate_counts_the_validation_that_was_told(train):
    machine, told = Machine(lambda batch: 60 if batch == 0 else 50), []

    def before(progress):
        progress.validation_seconds = 45.0
        progress.estimated = lambda left: told.append((machine.now, left))

    assert train(machine, Toy(steps=8), lines=False, before=before) == []
    assert len(told) == 1, "it is told once"
    moment, left = told[0]
    assert moment == 1060, "the first step took longer than 20 s: its time is all that is known"
    assert left == 7 * 60 + 45


def test_five_quick_steps_are_enough_for_an_estimate(train):
    machine, told = Machine(lambda batch: 4 if batch == 0 else 0.3 + 0.4 * (batch * 7 % 11) / 10), []

    def before(progress):
        progress.validation_seconds = 45.0
        progress.estimated = lambda left: told.append((machine.now, left))

    train(machine, Toy(steps=100), before=before)
    (moment, left) = told[0]
    assert moment == pytest.approx(1000 + 4 + sum(0.3 + 0.4 * (b * 7 % 11) / 10 for b in range(1, 5)))
    assert left == pytest.approx(machine.now - moment, rel=0.15)


def test_the_time_left_follows_a_machine_that_becomes_slower(train):
    """A step takes 20 s, and from the 21st on 80 s: sixteen lines later nothing is left of the old times."""
    machine = Machine(lambda batch: 20 if batch < 20 else 80, scoring=0)
    said = "\n".join(train(machine, Toy(steps=60)))
    left = {int(step): time for step, time in re.findall(r"step (\d+) of .* second, ([\d:]+ \w+) left", said)}
    assert left[20] == "13:20 min", "40 steps of 20 s"
    assert left[28] == "26:40 min", "32 steps of 50 s: of the last sixteen, eight were quick"
    assert left[36] == "32:00 min", "24 steps of 80 s"


def test_accumulated_batches_wait_for_a_loss(train):
    said = train(Machine(lambda batch: 25), Toy(steps=8), accumulate_grad_batches=4)
    assert [line.split(":")[0] for line in said if line.startswith("step")] == [
        "step 1 of 2 (50 %)", "step 1 of 2 (50 %)", "step 1 of 2 (50 %)", "step 1 of 2 (50 %)", "step 2 of 2 (100 %)",
    ]  # fmt: skip
    assert "1:40 min left" in said[0], "four batches of 25 s"


def test_quick_trainings_and_validations_need_few_lines(train):
    said = train(Machine(lambda batch: 0.01, scoring=0.01), Toy(steps=4), max_epochs=3)
    assert [line.split(":")[0] for line in said] == [
        "validation at step 4", "validation at step 4", "step 5 of 12 (42 %)", "validation at step 8",
        "validation at step 12",
    ]  # fmt: skip


@pytest.mark.parametrize("limited", [True, False])
def test_batches_are_counted_where_lists_cannot_be(train, limited):
    limits = {"limit_val_batches": 1} if limited else {}
    said = train(Machine(lambda batch: 0.01, scoring=25), Toy(steps=1, named=limited), **limits)
    if limited:
        assert said[:2] == ["validation at step 1: 1 batches", "validation: 1 of 1 batches scored (100 %), 0 s left"]
    else:
        assert said[:2] == ["validation at step 1: 3 batches", "validation: 1 of 3 batches scored (33 %), 50 s left"]


def test_a_loader_without_length(train):
    data = Toy(steps=1, named=False)
    data.val_dataloader = lambda: torch.utils.data.DataLoader(Endless(data.dev_batches), batch_size=None)
    said = train(Machine(lambda batch: 0.01, scoring=25), data)
    assert said[:2] == ["validation at step 1", "validation: 1 batches scored"]


def test_only_the_first_process_speaks(tmp_path, caplog):
    caplog.set_level(logging.INFO, "ltr")
    clock = Machine(None)
    progress = Progress(RunFolder(str(tmp_path)), clock=clock)
    other = SimpleNamespace(global_step=0, is_global_zero=False, sanity_checking=False)
    progress.on_train_start(other, None)
    other.global_step, clock.now = 1, clock.now + 60
    progress.on_train_batch_end(other)
    progress.on_validation_batch_end(other, None, None, lists([3], [0, 1, 0]))
    assert caplog.text == ""


@pytest.mark.parametrize("out", [True, False])
@pytest.mark.parametrize("err", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_lines_stand_where_no_bar_meets_a_terminal(monkeypatch, out, err, wanted):
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: out))
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: err))
    loop = trainer(enable_progress_bar=wanted)
    assert instead_of_bar(loop) == (not (wanted and out and err))
    if wanted:
        assert loop.progress_bar_callback.is_enabled == (out and err)


def test_a_bar_of_the_users_own_stays(monkeypatch):
    loop = trainer(enable_progress_bar=True, callbacks=[pl.callbacks.ProgressBar()])
    for terminal in (True, False):
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda terminal=terminal: terminal))
        assert instead_of_bar(loop) == (not terminal)
