"""Training a policy: its reference is computed before an epoch and let go, and the first step costs log 2."""

from __future__ import annotations

import json
import math

import pytest
import pytorch_lightning as pl

from ltr.data import PreferenceData
from ltr.errors import ConfigError
from ltr.links import Exp
from ltr.losses import DPO, KTO, CompositeContrast, fDPO
from ltr.scorers import PolicyRatio
from ltr.training import RankingModule
from ltr.training.defaults import quieten

WORDS = ["join two paths", "split the string", "no", "yes the file is", "a file of paths", "what"]


@pytest.fixture
def data(tiny_causal, tmp_path):
    records = [
        {
            "prompt": f"how to {WORDS[i]}",
            "responses": [{"text": f"{WORDS[(i + j) % 6]} {WORDS[j]}", "score": float(j)} for j in range(4)],
        }
        for i in range(6)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, records)))
    file = str(tmp_path / "p.jsonl")
    return PreferenceData(
        f"{file}[:70%]", f"{file}[70%:]", tokenizer=str(tiny_causal), max_length=200, docs_per_list=2, lists_per_batch=2
    )


class Watch(pl.Callback):
    """What a training held, and cost."""

    def __init__(self, scorer):
        self.scorer, self.opened, self.held, self.costs = scorer, 0, [], []
        self.opening = scorer._reference

        def opened():
            self.opened += not scorer._held
            return self.opening()

        scorer._reference = opened

    def on_train_batch_start(self, *_):
        self.held.append(len(self.scorer._held))

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.costs.append(float(trainer.callback_metrics.get("train/loss", math.nan)))

    def on_train_batch_end(self, trainer, *_):
        self.costs.append(float(trainer.callback_metrics["train/loss"]))


def trained(scorer, data, loss=None, **settings):
    quieten()
    pl.seed_everything(0, verbose=False)
    watch = Watch(scorer)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[watch], **{"max_epochs": 3, **settings},
    )  # fmt: skip
    trainer.fit(RankingModule(scorer, loss or DPO(), lr=1e-4, measures=["pair_accuracy"]), data)
    return watch


def test_memory_holds_one_model_while_it_trains(tiny_causal, data):
    watch = trained(PolicyRatio(str(tiny_causal)), data)
    # once for each epoch, since responses are drawn anew, and never between
    assert 1 <= watch.opened <= 3
    assert watch.held == [0] * len(watch.held)
    assert len(watch.held) == 6
    first = next(cost for cost in watch.costs if not math.isnan(cost))
    assert abs(first - math.log(2)) < 1e-6
    assert abs(watch.costs[-1] - math.log(2)) > 1e-3


def test_what_is_kept_needs_no_reference_and_a_training_of_few_steps_computes_few(tiny_causal, data):
    short = PolicyRatio(str(tiny_causal))
    trained(short, data, max_steps=1, max_epochs=-1, limit_val_batches=0)
    (table,) = short._tables.values()
    assert len(table._held()) == 4
    table.write()
    assert trained(PolicyRatio(str(tiny_causal)), data, max_steps=1, max_epochs=-1, limit_val_batches=0).opened == 0


def test_log_2_though_references_were_computed_in_other_batches(tiny_causal, data):
    """Sums of hundreds in float32 would be 3e-5 apart."""
    other = PolicyRatio(str(tiny_causal), batch_tokens=16)
    trained(other, data, max_epochs=1)
    for table in other._tables.values():
        table.write()
    scorer = PolicyRatio(str(tiny_causal))
    watch = trained(scorer, data, max_epochs=1)
    assert watch.opened == 0
    first = next(cost for cost in watch.costs if not math.isnan(cost))
    assert abs(first - math.log(2)) < 1e-6


def test_nothing_is_computed_ahead_where_no_second_model_is_held(tiny_causal, data):
    pytest.importorskip("peft")
    for settings in ({"lora": 2}, {"reference": None}):
        scorer = PolicyRatio(str(tiny_causal), **settings)
        scorer.before_epoch(pytest.fail("looked at the batches") for _ in range(1))
        assert trained(scorer, data, max_steps=1, max_epochs=-1).opened == 0


def test_a_loss_of_other_scores_is_refused_before_step_1(tiny_causal, data, tmp_path):
    with pytest.raises(
        ConfigError, match=r"takes log-ratios from scores by a beta of its own, 1, and the scorer's is 0.1"
    ):
        trained(PolicyRatio(str(tiny_causal)), data, fDPO("forward_kl"), max_steps=1, max_epochs=-1)
    (tmp_path / "rated.jsonl").write_text((tmp_path / "p.jsonl").read_text().replace('"score": 0.0', '"score": 0.5'))
    rated = PreferenceData(str(tmp_path / "rated.jsonl"), tokenizer=str(tiny_causal), max_length=200)
    with pytest.raises(
        ConfigError, match=r"KTO: labels above 0 are good and others bad, and all 24 training labels are good"
    ):
        trained(PolicyRatio(str(tiny_causal)), rated, KTO(), max_steps=1, max_epochs=-1)


def test_a_transform_by_which_rewards_drift_upwards_is_told_at_the_start(tiny_causal, data, caplog):
    for loss, times in ((DPO(), 0), (CompositeContrast(Exp()), 1)):
        trained(PolicyRatio(str(tiny_causal), None), data, loss, max_steps=1, max_epochs=-1, limit_val_batches=0)
        assert caplog.text.count("so that rewards drift upwards") == times
