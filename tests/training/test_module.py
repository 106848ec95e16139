"""RankingModule: what is learnt does not depend on how lists are cut into batches; errors before step 1."""

import json
import logging
from types import SimpleNamespace

import pytest
import torch

from ltr.batch import TokenRows
from ltr.data import PreferenceData
from ltr.errors import ConfigError, LtrError
from ltr.links import Exp, Identity, Sigmoid, Softplus
from ltr.losses import (
    KTO,
    MSE,
    ORPO,
    ApproxMRR,
    BradleyTerry,
    CompositeContrast,
    CompositeSoftmax,
    InfoNCE,
    LabelSoftmax,
    ListNet,
    Positives,
    RankNet,
    RunningCenter,
    fDPO,
)
from ltr.metrics import focus_measures
from ltr.training import RankingModule
from ltr.training.given_data import check_labels
from ltr.training.link_watch import STEPS, tell_of_drift
from tests.training.toys import Bag, Fixed, lists, trainer

DEV = lists([3, 2], [0, 1, 0, 1, 0], seed=9)


def module(loss=None, **settings):
    torch.manual_seed(0)
    return RankingModule(Bag(), loss or ListNet(), measures=["mrr@10"], **{"lr": 0.1, "warmup": 0.0, **settings})


def fitted(batches, loss=None, settings=None, **of_trainer):
    made = module(loss, **(settings or {}))
    trainer(limit_val_batches=0, **of_trainer).fit(made, datamodule=Fixed(batches, DEV))
    return torch.cat([p.detach().flatten() for p in made.parameters()])


def test_one_step_is_adamw_on_the_mean_over_contributing_lists():
    # the second list has no pair: RankNet divides by the two lists that contribute, not by three
    batch = lists([3, 2, 2], [1, 0, 0, 1, 1, 0, 1], seed=1)
    by_hand = module(RankNet())
    costs = by_hand.loss(by_hand.scorer(batch), batch.pad(batch.labels), batch.mask)
    (costs.sum() / 2).backward()
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.1, weight_decay=0.0)
    optimizer.step()
    expected = torch.cat([p.detach().flatten() for p in by_hand.parameters()])
    trained = fitted([batch], RankNet(), {"weight_decay": 0.0}, max_steps=2, max_epochs=1)
    torch.testing.assert_close(trained, expected, rtol=1e-5, atol=1e-6)


def test_accumulated_batches_learn_what_one_batch_does():
    whole = lists([3, 2, 2, 4], [1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 2], seed=1)
    cuts = [part(whole, 0, 1), part(whole, 1, 4)]
    settings = {"schedule": "constant"}
    one = fitted([whole], MSE(), settings)
    two = fitted(cuts, MSE(), settings, accumulate_grad_batches=2)
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def part(batch, low, high):
    """Lists low..high of a batch."""
    first, last = batch.list_offsets[low], batch.list_offsets[high]
    start, stop = batch.tokens.offsets[first], batch.tokens.offsets[last]
    return type(batch)(
        list_offsets=batch.list_offsets[low : high + 1] - first,
        labels=batch.labels[first:last],
        query_ids=batch.query_ids[low:high],
        doc_ids=batch.doc_ids[first:last],
        tokens=TokenRows(
            batch.tokens.ids[start:stop], batch.tokens.marks[start:stop], batch.tokens.offsets[first : last + 1] - start
        ),
    )


def test_batches_without_a_contributing_list_change_nothing_but_time():
    settings = {"weight_decay": 0.0, "schedule": "constant"}
    start = torch.cat([p.detach().flatten() for p in module().parameters()])
    assert torch.equal(fitted([lists([2], [1, 1])], RankNet(), settings), start)


def test_parts_learn_at_their_own_rates_and_only_matrices_decay():
    made = module(head_lr=0.5, weight_decay=0.3)
    trainer(max_steps=1, limit_val_batches=0).fit(made, datamodule=Fixed([lists([2], [1, 0])], DEV))
    groups = made.trainer.optimizers[0].param_groups
    found = {(g["initial_lr"], g["weight_decay"], sum(p.numel() for p in g["params"])) for g in groups}
    assert found == {(0.1, 0.3, 200), (0.5, 0.3, 4), (0.5, 0.0, 1)}


def test_learning_improves_the_dev_measure():
    batches = [lists([4] * 8, [1, 0, 0, 0] * 8, seed=s) for s in range(3)]
    for batch in batches:  # token 7 marks the relevant document
        for row in range(0, 32, 4):
            batch.tokens.ids[batch.tokens.offsets[row]] = 7
    made = module()
    loop = trainer(max_epochs=60)
    loop.fit(made, datamodule=Fixed(batches[:2], batches[2]))
    assert loop.callback_metrics["dev/mrr@10"] > 0.9
    assert made.evaluation.means["mrr@10"] == pytest.approx(float(loop.callback_metrics["dev/mrr@10"]))


def test_the_focus_region_is_measured_on_request():
    made = RankingModule(Bag(), MSE(), lr=0.1, measures=["mrr@10"], focus=0.4)
    loop = trainer()
    loop.fit(made, datamodule=Fixed([lists([2], [1, 0])], DEV))
    logged = {name: float(value) for name, value in loop.callback_metrics.items() if name.startswith("dev/focus/")}
    scores = made.eval().scorer(DEV)[DEV.mask].detach().double().numpy()
    expected = focus_measures(scores, DEV.labels.numpy(), 0.4)
    assert set(logged) <= set(made.logged)
    assert logged == pytest.approx({f"dev/focus/{name}": v for name, v in expected.items()}, nan_ok=True, rel=1e-5)
    with pytest.raises(ConfigError, match=r"focus is the top share of the labels in \(0, 1\), got 2"):
        RankingModule(Bag(), MSE(), focus=2.0)


def test_dropout_is_on_in_training_though_models_are_opened_in_evaluation_mode():
    made = module().eval()
    modes = []
    made.scorer.register_forward_pre_hook(lambda scorer, _: modes.append(scorer.training))
    trainer().fit(made, datamodule=Fixed([lists([2], [1, 0])] * 2, DEV))
    assert modes == [True, True, False]


def test_dead_regions_are_logged_and_warned_of_once(caplog):
    loss = CompositeSoftmax(Sigmoid(center=1000.0, scale=5.0))
    made = module(loss, lr=1e-4)
    batches = [lists([2], [1, 0], seed=s) for s in range(2 * STEPS + 3)]
    loop = trainer(limit_val_batches=0)
    with caplog.at_level(logging.WARNING, logger="ltr"):
        loop.fit(made, datamodule=Fixed(batches, DEV))
    assert float(loop.callback_metrics["train/dead"]) == 1.0
    warned = [r.getMessage() for r in caplog.records if "under 1 % of its peak" in r.getMessage()]
    assert len(warned) == 1
    assert "Sigmoid(center=1000.0, scale=5.0)" in warned[0]


def test_a_loss_without_link_logs_no_dead_share():
    loop = trainer(limit_val_batches=0)
    loop.fit(module(), datamodule=Fixed([lists([2], [1, 0])], DEV))
    assert "train/dead" not in loop.callback_metrics
    assert "train/loss" in loop.callback_metrics


class Infinite(ListNet):
    def costs(self, scores, labels, mask):
        return super().costs(scores, labels, mask) * float("inf")


def test_a_loss_that_leaves_the_numbers_stops_the_training():
    with pytest.raises(LtrError, match=r"the loss became (inf|nan) at step 0; lower model.lr"):
        fitted([lists([2], [1, 0])], Infinite())


def test_labels_are_needed():
    batch = lists([2], [1, 0])
    batch.labels = None
    with pytest.raises(LtrError, match="a training batch must have labels, got none"):
        fitted([batch])


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"lr must be positive, got 0"):
        module(lr=0.0)
    with pytest.raises(ConfigError, match=r"head_lr must be positive, got -1"):
        module(head_lr=-1.0)
    with pytest.raises(ConfigError, match=r"did you mean 'ndcg'"):
        RankingModule(Bag(), ListNet(), measures=["ndgc@10"])


@pytest.mark.parametrize(("algorithm", "moved"), [("norm", 0.1), ("value", 0.1)])
def test_gradients_are_clipped_in_mixed_precision_too(algorithm, moved):
    seen = []

    class Watched(RankingModule):
        def configure_gradient_clipping(self, optimizer, *args, **kwargs):
            super().configure_gradient_clipping(optimizer, *args, **kwargs)
            gradients = torch.cat([p.grad.flatten() for p in self.parameters()])
            seen.append(float(gradients.norm() if algorithm == "norm" else gradients.abs().max()))

    made = Watched(Bag(), MSE(), lr=0.1, measures=["mrr@10"])
    batch = lists([2], [1000, 0])
    loop = trainer(
        limit_val_batches=0, precision="bf16-mixed", gradient_clip_val=0.1, gradient_clip_algorithm=algorithm
    )
    loop.fit(made, datamodule=Fixed([batch], DEV))
    assert seen == [pytest.approx(moved, rel=1e-4)]


def test_nothing_to_train_is_an_error():
    made = module()
    made.scorer.requires_grad_(False)
    made.scorer.parts = lambda: {"encoder": [], "head": []}
    with pytest.raises(ConfigError, match="the scorer has no trainable parameter; freeze fewer layers"):
        trainer().fit(made, datamodule=Fixed([lists([2], [1, 0])], DEV))


@pytest.mark.parametrize(("precision", "told"), [("bf16-true", True), ("bf16-mixed", False), ("32-true", False)])
def test_weights_that_round_their_steps_away_are_told(caplog, precision, told):
    fitted([lists([2], [1, 0])], precision=precision)
    assert (
        "weights are kept in bfloat16, where steps smaller than 1/512 of a weight are rounded" in caplog.text
    ) is told


def test_the_schedule_needs_an_end():
    with pytest.raises(ConfigError, match=r"the schedule needs an end; give trainer.max_epochs or trainer.max_steps"):
        trainer(max_epochs=-1).fit(module(), datamodule=Fixed([lists([2], [1, 0])], DEV))


def test_strategies_that_part_the_weights_are_refused():
    from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy

    from ltr.training.processes import check_strategy

    for made in (DDPStrategy(), SingleDeviceStrategy("cpu")):
        check_strategy(made)
    with pytest.raises(
        ConfigError, match=r"trainer.strategy FSDPStrategy parts the weights between processes.* take ddp"
    ):
        check_strategy(FSDPStrategy())
    # and a training asks
    trainer = SimpleNamespace(strategy=FSDPStrategy())
    with pytest.raises(ConfigError, match="parts the weights"):
        RankingModule.setup(SimpleNamespace(trainer=trainer), "fit")


@pytest.mark.parametrize(
    ("loss", "refused"),
    [
        (KTO(), True),
        (InfoNCE(), True),
        (ORPO(), True),
        (ApproxMRR(), True),
        (CompositeSoftmax(Identity(), targets=Positives()), True),
        (CompositeSoftmax(Identity(), targets=LabelSoftmax()), False),
        (BradleyTerry(), False),
    ],
    ids=repr,
)
def test_ratings_of_which_none_is_bad_are_refused_where_labels_are_good_or_bad(loss, refused, tmp_path):
    file = tmp_path / "p.jsonl"
    for least in (1, 0):
        responses = [{"text": str(i), "score": least + i} for i in range(5)]
        file.write_text(json.dumps({"prompt": "p", "responses": responses}))
        data = PreferenceData(train=str(file))
        if refused and least:
            with pytest.raises(
                ConfigError, match=r"all 5 training labels are good \(from 1 to 5\): the worst would count as good"
            ):
                check_labels(loss, data)
        else:
            check_labels(loss, data)
    check_labels(loss, Fixed([DEV], DEV))  # whose labels nobody tells


def test_scores_that_a_loss_is_not_for_are_refused_before_training():
    with pytest.raises(ConfigError, match="ORPO reads mean log-probabilities"):
        fitted([DEV], ORPO())


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (CompositeContrast(Exp()), True),
        (CompositeContrast(Softplus()), True),
        (CompositeSoftmax(Exp(), targets=LabelSoftmax()), True),
        (CompositeContrast(Identity() + Softplus()), False),
        (CompositeContrast(RunningCenter(Exp())), False),
        (CompositeContrast(Sigmoid()), False),
        (CompositeSoftmax(Exp()), False),  # labels are target scores
        (fDPO("forward_kl"), False),
        (BradleyTerry(), False),
    ],
    ids=repr,
)
def test_rewards_that_would_drift_upwards_are_told(loss, told, tmp_path, caplog):
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "p", "chosen": "x", "rejected": "y"}\n')
    tell_of_drift(loss, PreferenceData(dev=str(file)))
    assert ("rewards drift upwards" in caplog.text) is told
    caplog.clear()
    tell_of_drift(loss, Fixed([DEV], DEV))
    assert not caplog.text, "documents"
