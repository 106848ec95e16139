"""Trainings that signals end, and what goes on from there: nothing is lost, nothing is done twice."""

import json
import logging
import os
import shutil
import signal

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from ltr.errors import ConfigError, DataError, Interrupted
from ltr.losses import CompositeSoftmax, ListNet
from ltr.scorers import MLPScorer
from ltr.training import RankingModule, RunFolder
from ltr.training.fitting import fit
from ltr.training.run import records
from ltr.training.run.inputs import check_inputs
from ltr.training.run.interruption import Interruption
from ltr.training.run.monitor import is_better
from ltr.training.run.records import read_manifest, read_metrics
from tests.cli.feature_files import write_fold
from tests.training.test_feature_runs import letor
from tests.training.toys import trainer


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    return write_fold(tmp_path_factory.mktemp("data") / "Fold1")


@pytest.fixture(autouse=True)
def said(caplog):
    caplog.set_level(logging.INFO, logger="ltr")
    return caplog


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


def test_a_training_that_patience_ended_stays_ended(fold, tmp_path, said):
    run(tmp_path / "run", fold, lr=1e-12, patience=2, max_epochs=9)
    before = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert read_manifest(tmp_path / "run")["step"] == 12
    run(tmp_path / "run", fold, lr=1e-12, patience=2, max_epochs=9, resumed=True)
    assert (
        "run ended at step 12, since dev/ndcg@3 had not improved for 2 validations; a larger --run.patience"
        in said.text
    )
    assert read_manifest(tmp_path / "run")["step"] == 12
    after = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in before)
    run(tmp_path / "run", fold, lr=1e-12, patience=3, max_epochs=9, resumed=True)
    assert read_manifest(tmp_path / "run")["step"] == 16


def test_a_learning_rate_that_is_changed_on_resuming_takes_effect(fold, tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path / "run", fold, stop=Signal(4))
    run(tmp_path / "run", fold, lr=0.0125, resumed=True)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert {group["initial_lr"] for group in state["optimizer_states"][0]["param_groups"]} == {0.0125}
    assert state["lr_schedulers"][0]["base_lrs"] == [0.0125] * 4


def test_a_checkpoint_of_another_model_is_refused(fold, tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path / "run", fold, stop=Signal(4))
    with pytest.raises(
        ConfigError,
        match=r"saved with another scorer or loss: scorer.encoder.0.bias has shape \(64,\) there and \(8,\) here",
    ):
        run(tmp_path / "run", fold, make=lambda: MLPScorer(hidden=[8]), resumed=True)
    from ltr.links import Sigmoid
    from ltr.losses import RunningCenter

    loss = CompositeSoftmax(RunningCenter(Sigmoid()))
    with pytest.raises(ConfigError, match=r"loss.transform.center has shape none there and \(\) here"):
        run(tmp_path / "run", fold, loss=loss, resumed=True)

    def frozen():
        scorer = MLPScorer()
        parts = scorer.parts
        scorer.parts = lambda: {name: parameters[:1] for name, parameters in parts().items()}
        return scorer

    with pytest.raises(
        ConfigError, match=r"while 6 tensors were trained, and now \d are; resume with the freeze_layers"
    ):
        run(tmp_path / "run", fold, make=frozen, resumed=True)


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


def test_a_checkpoint_that_slurm_left_of_another_training_is_refused(fold, tmp_path, monkeypatch):
    monkeypatch.setattr("ltr.training.run.checkpoints.SLURMEnvironment.detect", lambda: True)
    (tmp_path / "hpc_ckpt_1.ckpt").touch()
    with pytest.raises(
        ConfigError, match=r"Lightning would start this training from .*hpc_ckpt_1.ckpt, which belongs to"
    ):
        run(tmp_path / "run", fold, default_root_dir=tmp_path)


# ---------------------------------------------------------------- inputs, settings


def test_no_output_replaces_an_input_however_it_is_named(tmp_path, monkeypatch):
    best = tmp_path / "w" / "x1" / "best"
    best.mkdir(parents=True)
    (best / "config.json").touch()
    (tmp_path / "link").symlink_to(best)
    (tmp_path / "other").symlink_to(tmp_path / "w" / "x1")
    monkeypatch.chdir(tmp_path)
    names = [
        "w/x1/best", "w/x1/../x1/best/", str(best), "link", "w/x1/best/config.json", "w/x1/best/config.json[:80%]",
        "other/best", "link/train", best,
    ]  # fmt: skip
    for folder in (tmp_path / "w" / "x1", tmp_path / "other"):
        for name in names:
            with pytest.raises(
                ConfigError, match=r"is read by this training, which would replace it: it writes .*best"
            ):
                check_inputs(folder, records.PARTS, {"model": {"scorer": [1, None, ("x", name)]}})
    free = {
        "a": "w/x1",
        "b": "w",
        "c": "ndcg@10",
        "d": "best",
        "e": "w/x1/notes.md",
        "f": "line\nline",
        "g": "a\0b",
        "h": "",
    }
    check_inputs(tmp_path / "w" / "x1", records.PARTS, free)
    shutil.rmtree(best)
    best.symlink_to(tmp_path / "away")  # a part that is a link
    (tmp_path / "away").mkdir()
    with pytest.raises(ConfigError, match="away is read by this training"):
        check_inputs(tmp_path / "w" / "x1", records.PARTS, str(tmp_path / "away"))


def test_a_training_does_not_replace_the_data_it_reads(fold, tmp_path):
    run(tmp_path / "run", fold, max_epochs=1)
    shutil.copytree(fold, tmp_path / "run" / "dev" / "Fold1")
    with pytest.raises(ConfigError, match="is read by this training, which would replace it"):
        run(tmp_path / "run", tmp_path / "run" / "dev" / "Fold1", overwrite=True)
    assert (tmp_path / "run" / "dev" / "Fold1" / "train.txt").exists()
    (tmp_path / "kept").mkdir()
    shutil.rmtree(tmp_path / "run" / "test")
    (tmp_path / "run" / "test").symlink_to(tmp_path / "kept")
    run(tmp_path / "run", fold, max_epochs=1, overwrite=True)
    assert (tmp_path / "kept").is_dir()


BEGAN = {
    "seed_everything": 0,
    "model": {"scorer": {"class_path": "ltr.scorers.CrossEncoder", "init_args": {"model": "a"}}, "lr": 0.1},
    "run": {"monitor": "ndcg@10"},
}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["seed_everything"], 1, "--seed_everything=1 instead of 0: random numbers go on where they stopped"),
        (
            ["model", "scorer", "init_args", "model"],
            "b",
            "--model.scorer.model=b instead of a: the checkpoint's weights",
        ),
        (
            ["model", "scorer", "class_path"],
            "other.Mine",
            "--model.scorer.class_path=other.Mine instead of ltr.scorers",
        ),
        (["run", "monitor"], "mrr@10", "--run.monitor=mrr@10 instead of ndcg@10: the best value so far"),
    ],
)
def test_what_a_resumed_training_cannot_change_is_refused_with_what_it_can(tmp_path, path, value, told):
    (tmp_path / "config.yaml").write_text(json.dumps(BEGAN))
    settings = json.loads(json.dumps(BEGAN))
    settings["model"]["lr"] = 0.2
    settings["run"]["monitor"] = "dev/ndcg@10"
    records.check_changes(tmp_path, settings)
    inner = settings
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(ConfigError, match=rf"{told}.*What may change: trainer.*model.lr"):
        records.check_changes(tmp_path, settings)


def test_what_can_be_resumed(tmp_path, said):
    with pytest.raises(DataError, match=r"it holds no config.yaml; it is no run folder of ltr fit"):
        records.check_resumable(tmp_path)
    records.write_manifest(tmp_path, status="running", command="ltr fit --config a.yaml")
    with pytest.raises(DataError, match=r"it ended before step 1; start it again: ltr fit --config a.yaml"):
        records.check_resumable(tmp_path)
    (tmp_path / "config.yaml").touch()
    records.check_resumable(tmp_path)
    assert "ended before it saved anything; it starts again" in said.text
    records.write_manifest(tmp_path, status="finished")
    with pytest.raises(DataError, match=r"its last.ckpt is gone; put it back, or train on from .*/best"):
        records.check_resumable(tmp_path)
    (tmp_path / "last.ckpt").touch()
    records.check_resumable(tmp_path)


def test_values_that_are_not_finite_are_never_the_best():
    """One rule for trainings and benchmarks."""
    nan, inf = float("nan"), float("inf")
    for larger in (True, False):
        for best in (None, 0.0):
            assert not any(is_better(value, best, larger) for value in (nan, inf, -inf))
        assert is_better(-1.0, None, larger)
    assert (is_better(1.0, 0.0, True), is_better(1.0, 0.0, False), is_better(0.0, 0.0, True)) == (True, False, False)
    folder = RunFolder(mode="min")
    assert not folder.best.improves(-inf)
