"""The run folder: complete after a training, continued after an interruption, never overwritten by accident."""

import json
import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from ltr.data import Sampling, TextData
from ltr.errors import ConfigError, DataError, Interrupted
from ltr.io.trec import read_run
from ltr.losses import ListNet
from ltr.scorers import CrossEncoder
from ltr.settings import ModelSettings
from ltr.training import RankingModule, RunFolder
from ltr.training.fitting import fit, load_weights
from ltr.training.run.records import read_manifest, read_metrics
from tests.training.toys import Fixed, lists, trainer

DEV = lists([3, 2, 4], [0, 1, 0, 1, 0, 0, 0, 0, 1], seed=9)
BATCHES = [lists([3, 3], [1, 0, 0, 0, 0, 1], seed=s) for s in range(4)]


def module(tiny_model, **settings):
    torch.manual_seed(0)
    scorer = CrossEncoder(str(tiny_model))
    return RankingModule(scorer, ListNet(), **{"lr": 1e-3, "measures": ["mrr@10", "ndcg@10"], **settings})


def run(tiny_model, folder, resumed=False, module_settings=None, stop=None, dev=DEV, **settings):
    epochs, data = settings.pop("max_epochs", 2), settings.pop("data", None) or Fixed(BATCHES, dev)
    callback = RunFolder(str(folder), monitor="mrr@10", **settings)
    callback.resumed = resumed
    callback.claim()
    made = module(tiny_model, **(module_settings or {}))
    loop = trainer(max_epochs=epochs, callbacks=[callback, *([stop] if stop else [])], log_every_n_steps=1)
    return fit(loop, made, data, callback), callback, made, loop


def test_everything_is_there_after_a_training(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "11")
    results, callback, made, _ = run(tiny_model, tmp_path / "run")
    folder = tmp_path / "run"
    assert {p.name for p in folder.iterdir()} == {
        "best", "last", "dev", "last.ckpt", "manifest.json", "metrics.csv", "results.txt",
    }  # fmt: skip
    manifest = read_manifest(folder)
    assert manifest["status"] == "finished"
    assert manifest["step"] == 8
    assert manifest["best"] == {"measure": "dev/mrr@10", "value": callback.best.value, "step": callback.best.step}
    assert manifest["loss"] == repr(made.loss)
    assert manifest["seed"] == 11
    rows = read_metrics(folder, until_step=99)
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert "dev/mrr@10" in rows[3]
    assert "train/loss" in rows[0]
    assert sorted(p.name for p in (folder / "dev").iterdir()) == ["best.trec", "step=4.trec", "step=8.trec"]
    assert results[0].part == "dev"
    assert "first stage" in (folder / "results.txt").read_text()


def test_best_is_the_model_of_the_best_validation(tiny_model, tmp_path):
    _, callback, made, _ = run(tiny_model, tmp_path / "run")
    from ltr.inference.scoring import score_run

    load_weights(made, tmp_path / "run" / "best")
    scored = score_run(made.scorer, [DEV], device="cpu", precision="32")
    kept = read_run(tmp_path / "run" / "dev" / "best.trec")
    for query in kept:
        assert scored[query][0].tolist() == kept[query][0].tolist()
        torch.testing.assert_close(torch.tensor(scored[query][1]), torch.tensor(kept[query][1]), rtol=1e-5, atol=1e-6)
    assert callback.best.step in (4, 8)


class CtrlC(pl.Callback):
    """Presses Ctrl-C while a step is computed, or while it is validated."""

    def __init__(self, step, validating=False):
        self.step, self.validating = step, validating

    def on_before_optimizer_step(self, trainer, *args):
        if not self.validating and trainer.global_step == self.step - 1:
            os.kill(os.getpid(), signal.SIGINT)

    def on_validation_start(self, trainer, *args):
        if self.validating and trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("validating", [False, True])
def test_ctrl_c_keeps_a_checkpoint_and_resuming_gives_what_an_uninterrupted_run_gives(
    validating, tiny_model, tmp_path, caplog
):
    run(tiny_model, tmp_path / "whole")
    with pytest.raises(Interrupted) as stopped:
        run(tiny_model, tmp_path / "cut", stop=CtrlC(4, validating))
    assert stopped.value.status == 130
    assert (tmp_path / "cut" / "last.ckpt").exists()
    assert read_manifest(tmp_path / "cut")["status"] == "interrupted"
    assert not caplog.text.count("began with other data")
    run(tiny_model, tmp_path / "cut", resumed=True)
    whole = load_file(tmp_path / "whole" / "last" / "model.safetensors")
    cut = load_file(tmp_path / "cut" / "last" / "model.safetensors")
    for name in whole:
        torch.testing.assert_close(cut[name], whole[name], rtol=1e-5, atol=1e-6)
    assert read_manifest(tmp_path / "cut")["status"] == "finished"
    steps = [row["step"] for row in read_metrics(tmp_path / "cut", until_step=99)]
    assert steps == list(range(1, 9))


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_resuming_inside_an_epoch_repeats_no_list_and_loses_none(step, tiny_model, tiny_folder, tmp_path):
    def train(folder, resumed=False, stop=None):
        callback = RunFolder(str(folder), monitor="mrr@10")
        callback.resumed = resumed
        callback.claim()
        data = TextData(
            str(tiny_folder), str(tiny_folder), train_candidates="first", dev_candidates="first", max_length=32,
            max_query_length=16, tokenizer=str(tiny_model), lists_per_batch=1, sampling=Sampling(docs_per_list=3),
        )  # fmt: skip
        loop = trainer(max_epochs=2, callbacks=[callback, *([stop] if stop else [])])
        fit(loop, module(tiny_model), data, callback)
        return load_file(folder / "last" / "model.safetensors")

    whole = train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", stop=CtrlC(step))
    cut = train(tmp_path / "cut", resumed=True)
    for name in whole:
        torch.testing.assert_close(cut[name], whole[name], rtol=1e-5, atol=1e-6)


def test_a_folder_with_another_training_is_not_overwritten(tiny_model, tmp_path):
    run(tiny_model, tmp_path / "run", max_epochs=1)
    before = (tmp_path / "run" / "manifest.json").read_text()
    with pytest.raises(ConfigError, match=r"holds another training; continue it with --resume"):
        run(tiny_model, tmp_path / "run", max_epochs=1)
    assert (tmp_path / "run" / "manifest.json").read_text() == before
    (tmp_path / "run" / "notes.md").write_text("mine")
    run(tiny_model, tmp_path / "run", max_epochs=1, overwrite=True)
    assert (tmp_path / "run" / "notes.md").read_text() == "mine"


class Broken(pl.Callback):
    """Breaks down before a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step:
            raise RuntimeError("broken")


def test_a_training_that_left_nothing_can_be_started_again(tiny_model, tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        run(tiny_model, tmp_path / "run", max_epochs=1, stop=Broken(1))
    assert read_manifest(tmp_path / "run")["status"] == "failed"
    run(tiny_model, tmp_path / "run", max_epochs=1)
    assert read_manifest(tmp_path / "run")["status"] == "finished"


def test_a_training_that_failed_after_a_checkpoint_is_continued_not_replaced(tiny_model, tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        run(tiny_model, tmp_path / "run", stop=Broken(5))
    with pytest.raises(ConfigError, match=r"holds another training; continue it with --resume"):
        run(tiny_model, tmp_path / "run")
    run(tiny_model, tmp_path / "run", resumed=True)
    assert read_manifest(tmp_path / "run")["step"] == 8


def test_the_old_training_stays_until_the_new_one_starts(tiny_model, tmp_path):
    run(tiny_model, tmp_path / "run", max_epochs=1)
    with pytest.raises(ConfigError, match="monitor 'mrr@10' is not measured"):
        run(tiny_model, tmp_path / "run", overwrite=True, module_settings={"measures": ["ndcg@5"]})
    assert (tmp_path / "run" / "best" / "model.safetensors").exists()
    assert (tmp_path / "run" / "results.txt").exists()
    with pytest.raises(RuntimeError, match="broken"):
        run(tiny_model, tmp_path / "run", overwrite=True, stop=Broken(0))
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"manifest.json"}


def test_a_full_disk_keeps_the_old_checkpoint(tiny_model, tmp_path, monkeypatch):
    save = pl.Trainer.save_checkpoint

    def full(self, path):
        if self.global_step > 4:
            raise OSError(28, "No space left on device")
        save(self, path)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", full)
    with pytest.raises(DataError, match=r"cannot write .*last.ckpt: No space left on device; the old one is as it was"):
        run(tiny_model, tmp_path / "run")
    monkeypatch.undo()
    run(tiny_model, tmp_path / "run", resumed=True)
    assert [row["step"] for row in read_metrics(tmp_path / "run", until_step=99)] == list(range(1, 9))


def test_resuming_with_other_data_is_told(tiny_model, tmp_path, caplog, monkeypatch):
    run(tiny_model, tmp_path / "run", max_epochs=1)
    monkeypatch.setattr(Fixed, "signature", "other")
    run(tiny_model, tmp_path / "run", resumed=True)
    assert "run began with other data, or other settings of them; it goes on with these" in caplog.text


def test_settings_are_checked_against_the_data_before_step_one(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(Fixed, "inputs", ModelSettings(65, 8))
    with pytest.raises(ConfigError, match="reads at most 64 tokens, got texts of up to 65; set max_length to 64"):
        run(tiny_model, tmp_path / "run")
    data = Fixed(BATCHES, DEV)
    data.dev = None
    with pytest.raises(ConfigError, match=r"validation decides which weights are best; name a collection as data.dev"):
        run(tiny_model, tmp_path / "run", data=data)


def test_an_unknown_monitor_is_an_error_before_step_one(tiny_model, tmp_path):
    callback = RunFolder(str(tmp_path / "run"), monitor="mrr@5")
    with pytest.raises(ConfigError, match=r"monitor 'mrr@5' is not measured; did you mean 'mrr@10'\?"):
        trainer(callbacks=[callback]).fit(module(tiny_model), datamodule=Fixed(BATCHES, DEV))


def test_the_monitor_of_another_callback_is_checked_too(tiny_model, tmp_path):
    stopping = pl.callbacks.EarlyStopping(monitor="val_loss")
    callback = RunFolder(str(tmp_path / "run"), monitor="mrr@10")
    with pytest.raises(ConfigError, match=r"EarlyStopping: monitor 'val_loss' is never logged; known: dev/mrr@10"):
        trainer(callbacks=[callback, stopping]).fit(module(tiny_model), datamodule=Fixed(BATCHES, DEV))


def test_what_is_measured_of_the_focus_region_can_be_monitored(tiny_model, tmp_path):
    stopping = pl.callbacks.EarlyStopping(monitor="dev/focus/rmse_top", mode="min")
    run(tiny_model, tmp_path / "run", stop=stopping, max_epochs=1, module_settings={"focus": 0.3})
    assert stopping.best_score > 0
    with pytest.raises(ConfigError, match=r"monitor 'dev/focus/rmse_top' is never logged"):
        run(tiny_model, tmp_path / "other", stop=pl.callbacks.EarlyStopping(monitor="dev/focus/rmse_top"))


def test_patience_stops_a_training_that_does_not_improve(tiny_model, tmp_path):
    # a rate this small changes no ranking: the first validation stays the best
    run(tiny_model, tmp_path / "run", patience=2, max_epochs=9, module_settings={"lr": 1e-12})
    assert read_manifest(tmp_path / "run")["step"] == 3 * len(BATCHES)


def test_the_mean_of_weights_is_tried_and_kept_only_when_better(tiny_model, tmp_path):
    _, callback, _, _ = run(tiny_model, tmp_path / "run", average=2, max_epochs=3)
    best = read_manifest(tmp_path / "run")["best"]
    kept = max(value for value, _ in callback.averager.kept)
    assert callback.best.value >= kept
    assert ("averaged" in best) == (callback.best.value > kept)


class AroundTheStart(pl.Callback):
    """Puts the weights on opposite sides of the untrained ones at the two validations, so that these are their mean."""

    def on_fit_start(self, trainer, module):
        self.start = {n: p.detach().clone() for n, p in module.scorer.named_parameters()}
        generator = torch.Generator().manual_seed(0)
        self.away = {n: 3 * torch.randn(p.shape, generator=generator) for n, p in self.start.items()}

    @torch.no_grad()
    def on_validation_start(self, trainer, module):
        if trainer.state.fn == "fit":
            side = 1 if trainer.current_epoch == 0 else -1
            for name, parameter in module.scorer.named_parameters():
                parameter.copy_(self.start[name] + side * self.away[name])


def test_the_mean_of_weights_becomes_the_best_model_where_dev_likes_it(tiny_model, tmp_path):
    scores = module(tiny_model).scorer.eval()(DEV)
    labels = [
        float(x == own.max()) for own in (row[real] for row, real in zip(scores, DEV.mask, strict=True)) for x in own
    ]
    dev = lists([3, 2, 4], labels, seed=9)
    _, callback, _, _ = run(tiny_model, tmp_path / "run", average=2, stop=AroundTheStart(), dev=dev)
    best = read_manifest(tmp_path / "run")["best"]
    assert max(value for value, _ in callback.averager.kept) < 1.0
    assert best == {"measure": "dev/mrr@10", "value": 1.0, "averaged": 2}
    kept, start = (
        load_file(tmp_path / "run" / "best" / "model.safetensors"),
        module(tiny_model).scorer.model.state_dict(),
    )
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, start[name], rtol=1e-4, atol=1e-5)


def test_the_interpolation_weight_is_stored_with_the_model(tiny_model, tmp_path):
    results, _, _, _ = run(tiny_model, tmp_path / "run", interpolate="dev", max_epochs=1)
    stored = json.loads((tmp_path / "run" / "best" / "ltr.json").read_text())
    assert 0 <= stored["interpolation"] <= 1
    assert stored["interpolated_with"] == "first"
    assert [r.name for r in results[0].runs][2].startswith("interpolated")


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="patience must be at least 1 validation, got 0"):
        RunFolder(patience=0)
    with pytest.raises(ConfigError, match=r"average takes 0 \(off\) or the weights of at least 2 validations, got 1"):
        RunFolder(average=1)


def test_no_validation_at_all_is_refused_before_step_one(tiny_model, tmp_path):
    callback = RunFolder(str(tmp_path / "run"), monitor="mrr@10")
    loop = trainer(callbacks=[callback], limit_val_batches=0)
    with pytest.raises(ConfigError, match=r"trainer.limit_val_batches=0 switches it off; leave it out"):
        fit(loop, module(tiny_model), Fixed(BATCHES, DEV), callback)
    assert loop.global_step == 0


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_processes_that_take_the_results_with_them_are_refused(tiny_model, tmp_path, strategy):
    callback = RunFolder(str(tmp_path / "run"), monitor="mrr@10")
    loop = trainer(callbacks=[callback], strategy=strategy)
    with pytest.raises(ConfigError, match=r"starts processes that end with the training .* take ddp"):
        fit(loop, module(tiny_model), Fixed(BATCHES, DEV), callback)


class Shadow(pl.Callback):
    """A mean of weights in the place of the model's during validations, as many write it for themselves."""

    def on_validation_epoch_start(self, trainer, pl_module):
        self.own = [p.detach().clone() for p in pl_module.parameters()]
        for p in pl_module.parameters():
            p.data.mul_(0.5)

    def on_validation_epoch_end(self, trainer, pl_module):
        for p, own in zip(pl_module.parameters(), self.own, strict=True):
            p.data.copy_(own)


def test_weights_that_were_not_validated_are_never_the_best(tiny_model, tmp_path):
    """Callbacks that exchange weights for a validation: those of Lightning before step 1, all others at the validation."""
    ours = pl.callbacks.EMAWeightAveraging(decay=0.5)
    with pytest.raises(ConfigError, match="EMAWeightAveraging: has other weights validated than those"):
        run(tiny_model, tmp_path / "ema", stop=ours, max_epochs=1)
    with pytest.raises(ConfigError, match="weights after the validation are not those that were validated"):
        run(tiny_model, tmp_path / "own", stop=Shadow(), max_epochs=1)
    assert not (tmp_path / "own" / "best").exists()
