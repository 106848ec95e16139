"""The best weights of a training, as dev sees it."""

from types import SimpleNamespace

import pytest
import torch

from ltr.experiments.cells.keeping import KeepBest
from ltr.losses import ListNet
from ltr.scorers import LinearScorer
from ltr.training import RankingModule

NAN = float("nan")


def course(values, trial=0, **settings):
    """KeepBest after validations that gave these values, and the trainer; the weight is 1, 2, 3 ... at each.

    The first ``trial`` of them are Lightning's trial run before a training (``num_sanity_val_steps``).
    """
    keep = KeepBest("ndcg@10", **{"larger": True, **settings})
    scorer = LinearScorer()
    module = RankingModule(scorer, ListNet())
    scorer.add_module("layer", torch.nn.Linear(1, 1))
    for i, value in enumerate(values, 1):
        with torch.no_grad():
            scorer.layer.weight.fill_(i)
        metrics = {"dev/ndcg@10": torch.tensor(value), "train/loss": torch.tensor(0.5), "lr": torch.tensor(1.0)}
        metrics["train/docs_per_second"] = torch.tensor(7.0)
        facts = {"global_step": 10 * i, "current_epoch": i - 1, "should_stop": False, "sanity_checking": i <= trial}
        trainer = SimpleNamespace(callback_metrics=metrics, **facts)
        keep.on_validation_end(trainer, module)
        if trainer.should_stop:
            return keep, scorer, i
    return keep, scorer, None


def restored(keep, scorer):
    keep.restore(scorer)
    return scorer.layer.weight.item()


@pytest.mark.parametrize(
    ("values", "larger", "best"),
    [
        ([0.1, 0.3, 0.2], True, 2),
        ([0.1, 0.3, 0.2], False, 1),
        ([0.3, 0.3], True, 1),
        ([NAN, 0.2, NAN], True, 2),
        ([0.2, NAN, 0.3], True, 3),
        ([NAN, 5.0, NAN], False, 2),
        ([float("inf"), 0.2], True, 2),
        ([-0.5, -0.1], True, 2),
    ],
)
def test_the_best_validation_is_kept_and_restored(values, larger, best):
    keep, scorer, _ = course(values, larger=larger)
    assert (keep.value, keep.step) == (pytest.approx(values[best - 1]), 10 * best)
    assert restored(keep, scorer) == best


def test_never_a_number_is_never_best():
    keep, _, _ = course([NAN, NAN])
    assert keep.value is None
    assert len(keep.rows) == 2


@pytest.mark.parametrize(
    ("values", "patience", "stops"),
    [
        ([0.3, 0.2, 0.1, 0.4], 2, 3),
        ([0.3, 0.2, 0.4, 0.3, 0.3], 2, 5),
        ([0.3, 0.3, 0.3], 1, 2),
        ([NAN, NAN, 0.3], 2, 2),
        ([0.3, 0.2, 0.1, 0.1], None, None),
    ],
)
def test_patience_counts_validations_without_progress(values, patience, stops):
    assert course(values, patience=patience)[2] == stops


def test_rows_tell_the_course():
    keep, _, _ = course([0.25])
    assert keep.rows == [{"step": 10, "epoch": 0, "dev/ndcg@10": 0.25, "train/loss": 0.5}]


def test_lightnings_trial_run_is_no_validation():
    """An untrained model was chosen by the few lists that it looks at."""
    keep, scorer, stopped = course([0.9, 0.1, 0.3], trial=1, patience=2)
    assert (keep.value, keep.step, stopped) == (pytest.approx(0.3), 30, None)
    assert [row["step"] for row in keep.rows] == [20, 30]
    assert restored(keep, scorer) == 3
