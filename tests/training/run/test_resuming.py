"""Which trainings can go on, and which of their settings may change meanwhile."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from ltr.data import EngagementData, LetorData, PreferenceData
from ltr.errors import ConfigError, DataError, Interrupted
from ltr.losses import CompositeSoftmax
from ltr.scorers import MLPScorer
from ltr.training.run import records
from ltr.training.run.dev_part import check_dev, dev_of
from ltr.training.run.early_stopping import Best
from ltr.training.run.resuming import check_changes, check_resumable
from ltr.training.schedules import factor
from tests.training.run.short_runs import Signal, run
from tests.training.toys import Fixed, lists


def test_a_learning_rate_that_is_changed_on_resuming_takes_effect(fold, tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path / "run", fold, stop=Signal(4))
    run(tmp_path / "run", fold, lr=0.0125, resumed=True)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert {group["initial_lr"] for group in state["optimizer_states"][0]["param_groups"]} == {0.0125}
    assert state["lr_schedulers"][0]["base_lrs"] == [0.0125] * 4


class Rates(pl.Callback):
    """The learning rate of each step."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.seen.append(optimizer.param_groups[0]["lr"])


def test_a_training_that_is_made_longer_goes_on_at_the_rate_of_its_new_schedule(fold, tmp_path):
    """The checkpoint's rate is the old schedule's: 0 at the end of a line."""
    run(tmp_path / "run", fold)
    rates = Rates()
    _, module, _ = run(tmp_path / "run", fold, resumed=True, stop=rates, max_epochs=4)
    expected = [0.05 * factor(step, 16, module.warmup, module.schedule) for step in range(8, 16)]
    assert rates.seen == pytest.approx(expected)
    assert rates.seen[0] > 0


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


def test_a_checkpoint_that_slurm_left_of_another_training_is_refused(fold, tmp_path, monkeypatch):
    monkeypatch.setattr("ltr.training.run.checkpoints.SLURMEnvironment.detect", lambda: True)
    (tmp_path / "hpc_ckpt_1.ckpt").touch()
    with pytest.raises(
        ConfigError, match=r"Lightning would start this training from .*hpc_ckpt_1.ckpt, which belongs to"
    ):
        run(tmp_path / "run", fold, default_root_dir=tmp_path)


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
    check_changes(tmp_path, settings)
    inner = settings
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(ConfigError, match=rf"{told}.*What may change: trainer.*model.lr"):
        check_changes(tmp_path, settings)


def test_what_can_be_resumed(tmp_path, said):
    with pytest.raises(DataError, match=r"it holds no config.yaml; it is no run folder of ltr fit"):
        check_resumable(tmp_path)
    records.write_manifest(tmp_path, status="running", command="ltr fit --config a.yaml")
    with pytest.raises(DataError, match=r"it ended before step 1; start it again: ltr fit --config a.yaml"):
        check_resumable(tmp_path)
    (tmp_path / "config.yaml").touch()
    check_resumable(tmp_path)
    assert "ended before it saved anything; it starts again" in said.text
    records.write_manifest(tmp_path, status="finished")
    with pytest.raises(DataError, match=r"its last.ckpt is gone; put it back, or train on from .*/best"):
        check_resumable(tmp_path)
    (tmp_path / "last.ckpt").touch()
    check_resumable(tmp_path)


def test_another_dev_part_is_refused(fold, tmp_path):
    """The best value so far was measured on other lists: no later weights could be compared with it."""
    fold = Path(shutil.copytree(fold, tmp_path / "fold"))
    with pytest.raises(Interrupted):
        run(tmp_path / "run", fold, stop=Signal(6))
    held = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["callbacks"]
    (state,) = [one for name, one in held.items() if name.startswith("RunFolder")]
    dev = fold / "vali.txt"
    whole = dev.read_text()
    assert list(state["dev"]) == ["dev"]
    dev.write_text("".join(whole.splitlines(True)[:-4]))
    with pytest.raises(
        ConfigError, match=r"with another data.dev: dev/ndcg@3 0.\d+ at step 4, which chose best/, was mea"
    ):
        run(tmp_path / "run", fold, resumed=True)
    dev.write_text(whole)
    train = fold / "train.txt"
    train.write_text("".join(train.read_text().splitlines(True)[:-4]))
    run(tmp_path / "run", fold, resumed=True)
    assert records.read_manifest(tmp_path / "run")["status"] == "finished"


def test_a_checkpoint_that_does_not_tell_its_dev_part_is_gone_on_with(tmp_path):
    best = Best("ndcg@3", "max", None)
    best.judge(0.5, 4)
    check_dev(tmp_path, {}, {"dev": "a"}, best)
    check_dev(tmp_path, {"dev": "a"}, {}, best)
    check_dev(tmp_path, {"dev": "a"}, {"dev": "b"}, Best("ndcg@3", "max", None))
    with pytest.raises(ConfigError, match=r"with another data.dev_top: dev/ndcg@3 0.5000 at step 4"):
        check_dev(tmp_path, {"dev": "a", "dev_top": "50"}, {"dev": "a", "dev_top": "20"}, best)
    batch = lists([3], [1, 0, 0], seed=0)
    assert dev_of(Fixed([batch], batch)) == {}


def test_a_dev_part_is_told_by_its_share_and_its_labels_too(tmp_path):
    log, pairs = tmp_path / "log.csv", tmp_path / "pairs.jsonl"
    log.write_text(
        "list_id,item_id,a,seconds,clicks\n" + "".join(f"q{i // 3},d{i},{i},{i + 1},{i % 2}\n" for i in range(30))
    )
    pair = {"chosen": "x", "rejected": "y", "chosen_score": 3, "rejected_score": 1, "margin": 2}
    pairs.write_text("".join(json.dumps({"prompt": f"p{i}", **pair}) + "\n" for i in range(9)))
    made = {
        EngagementData: (str(log), {"label": "seconds", "features": ["a"]}, {"label": "clicks"}),
        PreferenceData: (str(pairs), {}, {"label": "margin"}),
    }
    for kind, (name, settings, others) in made.items():
        held = dev_of(kind(train=name, dev=f"{name}[80%:]", **settings))
        assert held["dev"]
        assert held == dev_of(kind(train=f"{name}[:80%]", dev=f"{name}[80%:]", **settings)), "train does not count"
        best = Best("ndcg@3", "max", None)
        best.judge(0.5, 4)
        for part, more, told in (("[50%:]", {}, "dev"), ("", {}, "dev"), ("[80%:]", others, "label")):
            now = dev_of(kind(train=name, dev=name + part, **{**settings, **more}))
            with pytest.raises(ConfigError, match=f"with another data.{told}: dev/ndcg@3"):
                check_dev(tmp_path, held, now, best)


def test_a_dev_part_from_a_pipe_is_read_once(fold, tmp_path):
    """Its digest and its lists come from the same bytes; a second look would wait for ever."""
    pipe = tmp_path / "vali.txt"
    os.mkfifo(pipe)
    writing = threading.Thread(target=lambda: pipe.write_bytes((fold / "vali.txt").read_bytes()), daemon=True)
    writing.start()
    data = LetorData(train=str(fold / "train.txt"), dev=str(pipe), lists_per_batch=3)
    run(tmp_path / "run", fold, data=data, max_epochs=1)
    writing.join(5)
    assert not writing.is_alive()
    assert records.read_manifest(tmp_path / "run")["status"] == "finished"
