"""Trainings that signals end, and what goes on from there: nothing is lost, nothing is done twice."""

import os
import shutil
import signal

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from ltr.errors import ConfigError, DataError, Interrupted
from ltr.training import RunFolder
from ltr.training.run.interruption import Interruption
from ltr.training.run.records import read_manifest, read_metrics
from tests.training.run.short_runs import Signal, dropping, left, run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_every_signal_saves_the_training_and_says_how_it_goes_on(fold, tmp_path, number, said):
    before = signal.getsignal(number)
    run(tmp_path / "whole", fold, make=dropping)
    with pytest.raises(Interrupted) as stopped:
        run(tmp_path / "cut", fold, make=dropping, stop=Signal(2, number))
    assert stopped.value.status == 128 + number
    assert signal.getsignal(number) is before
    assert read_manifest(tmp_path / "cut")["status"] == "interrupted"
    assert f"interrupted at step 2; continue: ltr fit --resume {tmp_path}/cut" in said.text
    run(tmp_path / "cut", fold, make=dropping, resumed=True)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


@pytest.mark.parametrize(
    ("step", "settings"),
    [
        (4, {}),
        (4, {"max_epochs": 1}),  # the only validation there is
        (3, {"max_epochs": -1, "max_steps": 3, "val_check_interval": 3}),  # and no step comes after it
        (1, {"accumulate_grad_batches": 2, "val_check_interval": 3}),  # between accumulated batches
        (3, {"accumulate_grad_batches": 2, "val_check_interval": 3}),
        (8, {}),
    ],
)
def test_a_validation_that_is_cut_off_takes_place_when_it_goes_on(fold, tmp_path, step, settings):
    run(tmp_path / "whole", fold, make=dropping, **settings)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", fold, make=dropping, stop=Signal(step, validating=True), **settings)
    assert read_manifest(tmp_path / "cut")["status"] == "interrupted"
    run(tmp_path / "cut", fold, make=dropping, resumed=True, **settings)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


class AtTheVeryEnd(Signal):
    """When the last validation of the training has been computed."""

    def on_validation_epoch_end(self, trainer, *args):
        if trainer.state.fn == "fit" and trainer.global_step == self.step:
            self.send()

    def on_validation_batch_end(self, *args):
        pass


def test_ctrl_c_after_the_last_batch_is_not_forgotten(fold, tmp_path, said):
    run(tmp_path / "whole", fold)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", fold, stop=AtTheVeryEnd(8))
    assert read_manifest(tmp_path / "cut")["status"] == "interrupted"
    assert not (tmp_path / "cut" / "results.txt").exists()
    run(tmp_path / "cut", fold, resumed=True)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")
    assert (tmp_path / "cut" / "results.txt").read_text() == (tmp_path / "whole" / "results.txt").read_text()


def test_what_accumulated_batches_gathered_is_saved_with_a_validation_between_them(fold, tmp_path):
    """Killed right after it: the step is made of both batches, not of the second alone."""
    settings = {"accumulate_grad_batches": 2, "val_check_interval": 3}
    run(tmp_path / "whole", fold, **settings)
    first, *_ = read_metrics(tmp_path / "whole", until_step=99)
    assert first["step"] == 1, "nothing is logged before the first step"
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "cut", fold, stop=Killed(3), **settings)
    held = torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)
    assert held["accumulated"]["sums"].shape == (1, 4)
    run(tmp_path / "cut", fold, resumed=True, **settings)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


class Killed(pl.Callback):
    """Breaks down before a batch of the first epoch."""

    def __init__(self, batch):
        self.batch = batch

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.current_epoch == 0 and batch_idx == self.batch:
            raise RuntimeError("killed")


def test_ctrl_c_twice_keeps_the_exact_checkpoint(fold, tmp_path, said):
    run(tmp_path / "whole", fold, make=dropping)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", fold, make=dropping, stop=Signal(7, signal.SIGINT, signal.SIGINT))
    assert torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)["global_step"] == 4
    assert f"interrupted at step 6, saved at step 4; continue: ltr fit --resume {tmp_path}/cut" in said.text
    run(tmp_path / "cut", fold, make=dropping, resumed=True)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def test_what_ends_before_anything_is_saved_starts_again(fold, tmp_path, said):
    with pytest.raises(Interrupted):
        run(tmp_path / "run", fold, stop=Signal(1, signal.SIGINT, signal.SIGINT))
    assert f"interrupted before anything was saved; start again: ltr fit --resume {tmp_path}/run" in said.text
    run(tmp_path / "run", fold)
    assert read_manifest(tmp_path / "run")["status"] == "finished"


def test_signals_wait_only_while_steps_are_computed(said):
    interruption = Interruption()
    with interruption.listening():
        with pytest.raises(Interrupted, match=f"signal {signal.SIGTERM.value}"):
            os.kill(os.getpid(), signal.SIGTERM)
        assert not interruption.safe
    with interruption.listening():
        interruption.wait(True)
        interruption.stop_here()
        for _ in range(3):  # those who end a job often say it several times
            os.kill(os.getpid(), signal.SIGTERM)
        assert said.text.count("stopping after this step") == 1
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            interruption.stop_here()
        assert interruption.safe


def test_checkpoints_are_saved_as_time_goes_by(fold, tmp_path):
    run(tmp_path / "whole", fold)
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "cut", fold, stop=Killed(3), save_every_minutes=1e-9)
    held = torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)
    assert held["global_step"] == 3
    run(tmp_path / "cut", fold, resumed=True)
    assert left(tmp_path / "cut") == left(tmp_path / "whole")
    with pytest.raises(ConfigError, match="save_every_minutes must be positive, or null, got 0"):
        RunFolder(save_every_minutes=0)


@pytest.mark.parametrize(
    "settings", [{"max_epochs": -1, "max_steps": 3}, {"max_epochs": 1, "check_val_every_n_epoch": 2}]
)
def test_a_training_that_ends_before_its_first_validation_is_validated_then(fold, tmp_path, settings):
    callback, _, loop = run(tmp_path / "run", fold, **settings)
    manifest = read_manifest(tmp_path / "run")
    assert manifest["best"] == {"measure": "dev/ndcg@3", "value": callback.best.value, "step": loop.global_step}
    assert read_metrics(tmp_path / "run", until_step=99)[-1]["dev/ndcg@3"] == pytest.approx(callback.best.value)
    best, last = (load_file(tmp_path / "run" / name / "model.safetensors") for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in last)
    assert (tmp_path / "run" / "results.txt").exists()


@pytest.mark.parametrize("gone", ["best/model.safetensors", "dev/best.trec"])
def test_best_weights_that_are_not_there_are_told(fold, tmp_path, gone):
    run(tmp_path / "run", fold, max_epochs=1)
    (tmp_path / "run" / gone).rename(tmp_path / "away")
    with pytest.raises(
        DataError, match=rf"cannot resume .*run: {gone} is not there, which belongs to the best weights so far"
    ):
        run(tmp_path / "run", fold, resumed=True)
    (tmp_path / "away").rename(tmp_path / "run" / gone)
    run(tmp_path / "run", fold, resumed=True)


def test_what_killed_processes_left_goes_away(fold, tmp_path):
    run(tmp_path / "run", fold, max_epochs=1)
    shutil.move(tmp_path / "run" / "best", tmp_path / "run" / ".best.abcd1234.old")
    for name in (".best.abcd1234.part", ".metrics.csv.abcd1234.part", "dev/.step=4.trec.abcd1234.part"):
        (tmp_path / "run" / name).touch()
    (tmp_path / "run" / ".mine.abcd1234.part").touch()
    run(tmp_path / "run", fold, resumed=True)
    assert [p.name for p in (tmp_path / "run").rglob(".*")] == [".mine.abcd1234.part"]
    assert (tmp_path / "run" / "best" / "model.safetensors").exists()


def test_seconds_are_those_of_all_sessions(fold, tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("ltr.training.run.run_folder.time.time", lambda: float(next(clock)))
    with pytest.raises(Interrupted):
        run(tmp_path / "run", fold, stop=Signal(4))
    first = read_manifest(tmp_path / "run")["seconds"]
    run(tmp_path / "run", fold, resumed=True)
    assert read_manifest(tmp_path / "run")["seconds"] > first > 0


def test_a_full_disk_names_the_checkpoint_and_leaves_nothing_beside(fold, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    class Fills(pl.Callback):
        def on_train_batch_start(self, trainer, *args):
            if trainer.global_step == 5:
                monkeypatch.setattr("os.fsync", full)  # nothing can be written any more, not even the manifest

    with pytest.raises(DataError, match=r"cannot write .*/run/(dev/step=8.trec|last.ckpt): No space left on device"):
        run(tmp_path / "run", fold, stop=Fills())
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "run").rglob(".*")] == []
    run(tmp_path / "run", fold, resumed=True)
    assert read_manifest(tmp_path / "run")["status"] == "finished"
