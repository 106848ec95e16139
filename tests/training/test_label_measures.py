"""Validation against real-valued labels: what is measured, monitored, kept as best and written."""

import copy
import math

import numpy as np
import pytest
import torch

from ltr.data.base import Part
from ltr.errors import ConfigError, DataError, LtrError
from ltr.inference.scoring import Scored
from ltr.io.runs import Run
from ltr.losses import MSE
from ltr.metrics import LabelledLists, evaluate_labels
from ltr.scorers import CrossEncoder
from ltr.training import RankingModule, RunFolder
from ltr.training.fitting import fit
from ltr.training.run.records import read_manifest
from ltr.training.run.results import Results
from ltr.training.scored import predictions_of
from tests.training.toys import Bag, Fixed, lists, trainer

DEV = lists([3, 2, 4], [0.5, 1.25, 0.0, 2.0, 0.1, 0.0, 3.0, 0.2, 1.0], seed=9)
BATCHES = [lists([3, 3], [1.5, 0.2, 0.0, 0.7, 0.0, 1.0], seed=s) for s in range(4)]
TEXTS = ["rmse", "spearman_top.5", "ndcg_label@2", "ndcg_pooled@3"]


def module(measures=TEXTS, scorer=None, **settings):
    torch.manual_seed(0)
    return RankingModule(scorer or Bag(), MSE(), **{"lr": 0.05, "measures": measures, **settings})


def real(read=None, dev=DEV):
    return Fixed(BATCHES, dev).real_valued(read)


def test_validation_measures_labels():
    made, loop = module(), trainer()
    loop.fit(made, datamodule=real())
    scores, scored = made.predictions, made.truths["dev"]
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, made.eval().scorer(DEV)[DEV.mask].detach(), rtol=1e-5)
    assert scored.labels.tolist() == pytest.approx(DEV.labels.tolist())
    assert (scored.query_ids, scored.doc_ids) == (DEV.query_ids, DEV.doc_ids)
    assert scored.offsets.tolist() == DEV.list_offsets.tolist()
    truth = LabelledLists(DEV.query_ids, DEV.list_offsets.numpy(), DEV.labels.double().numpy())
    expected = evaluate_labels(scores, truth, TEXTS).means
    assert made.values == pytest.approx(expected)
    assert made.label_evaluation.means == made.values
    assert made.evaluation is None
    assert {n: float(loop.callback_metrics[f"dev/{n}"]) for n in TEXTS} == pytest.approx(expected, rel=1e-5)
    assert made.logged == [*(f"dev/{n}" for n in TEXTS), "train/loss"]
    assert made.validated["q0"][0].tolist() == [
        d for _, d in sorted(zip(scores[:3].tolist(), DEV.doc_ids[:3], strict=True), reverse=True)
    ]


def test_judgements_and_labels_are_measured_together():
    graded = lists([3, 2], [0, 2, 1, 1, 0], seed=9)
    made = module(["mrr", "mae"])
    trainer().fit(made, datamodule=Fixed(BATCHES, graded))
    assert list(made.values) == ["mrr", "mae"]
    assert made.values["mrr"] == made.evaluation["mrr"]
    assert made.values["mae"] == pytest.approx(np.abs(made.predictions - graded.labels.numpy()).mean())


def test_gains_come_from_the_data():
    made, read = module(["ndcg_label@2"]), np.expm1(DEV.labels.double().numpy())
    trainer().fit(made, datamodule=real(read))
    truth = made.truths["dev"]
    assert truth.gains.tolist() == read.tolist()
    plain = LabelledLists(truth.query_ids, truth.offsets, truth.labels)
    found, other = (evaluate_labels(made.predictions, t, "ndcg_label@2").means for t in (truth, plain))
    assert made.values == found != other


#: a part whose labels of lists a and b are known as they were read
_LEARNT = np.array([1 / 3, 0.1, 2 / 3])
_LABELS = LabelledLists(("a", "b"), np.array([0, 1, 3]), _LEARNT, 30 * _LEARNT, (), "standardised seconds", "seconds")
KNOWN = Part(query_ids=("b", "a"), labels=_LABELS)


def test_labels_of_batches_do_not_count_where_the_data_know_them():
    scored = [Scored("a", ["x"], np.ones(1)), Scored("b", ["y", "z"], np.array([2.0, 3.0]))]
    truth = predictions_of("dev", scored, [], KNOWN)[1]
    assert (truth.query_ids, truth.doc_ids) == (["b", "a"], ["y", "z", "x"])
    assert truth.labels.tolist() == [0.1, 2 / 3, 1 / 3], "to the last digit: no float32 on the way"
    assert truth.gains.tolist() == [3.0, 20.0, 10.0]
    assert (
        "rmse; errors in the unit of the labels (standardised seconds)"
        in evaluate_labels(np.ones(3), truth, "rmse").conventions
    )
    assert "gain: seconds, not the label" in evaluate_labels(np.ones(3), truth, "ndcg_label").conventions
    assert predictions_of("dev", scored[:1], [], KNOWN)[1].labels.tolist() == [1 / 3], "a part of the lists"


@pytest.mark.parametrize(
    ("one", "held"), [(Scored("c", ["x"], np.ones(1)), 0), (Scored("b", ["y"], np.ones(1)), 2)], ids=["list", "size"]
)
def test_lists_that_the_data_do_not_know_are_not_measured(one, held):
    with pytest.raises(
        LtrError, match=f"dev: list {one.query_id} was scored with 1 documents, and the data label {held}"
    ):
        predictions_of("dev", [one], [], KNOWN)


def test_negative_gains_are_refused_before_training(tmp_path):
    read = DEV.labels.double().numpy() - 1.5
    made, loop = module(["rmse", "ndcg_label@5"]), trainer()
    with pytest.raises(
        DataError,
        match=r"RankingModule: model.measures: dev: ndcg_label@5 sums up labels as gains, which must be 0 or more, got -1 "
        r"\(document 1 of list q0\); take another measure, such as spearman",
    ):
        loop.fit(made, datamodule=real(read))
    assert loop.global_step == 0
    module_without = module(["rmse", "spearman"])
    trainer().fit(module_without, datamodule=real(read))
    assert set(module_without.values) == {"rmse", "spearman"}


def test_an_epoch_is_not_lost_to_a_validation_that_cannot_be_measured(tiny_model, tmp_path, caplog):
    dev = lists([3, 2], [0.5, -1.25, 0.0, 2.0, 0.1], seed=9)  # and the data say nothing of these labels beforehand
    with caplog.at_level("WARNING", logger="ltr"), pytest.raises(DataError, match="a gain must not be negative"):
        run(tiny_model, tmp_path / "run", "ndcg_label@2", data=real(dev=dev), epochs=1)
    assert read_manifest(tmp_path / "run")["status"] == "failed"
    assert "the validation at step 4 failed; the weights of that step lie in" in caplog.text
    assert CrossEncoder(str(tmp_path / "run" / "last"))


def test_scored_lists_stand_in_the_order_of_the_data():
    ordered = Part(query_ids=("b", "c", "a"))
    scored = [Scored("a", ["x"], np.ones(1)), Scored("b", ["y", "z"], np.array([2.0, 3.0]))]
    scores, truth = predictions_of("dev", scored, [np.array([5.0]), np.array([6.0, 7.0])], ordered)
    assert truth.query_ids == ["b", "a"]
    assert truth.doc_ids == ["y", "z", "x"]
    assert scores.tolist() == [2.0, 3.0, 1.0]
    assert truth.labels.tolist() == [6.0, 7.0, 5.0]
    assert truth.ranked(scores, "dev")["b"][0].tolist() == ["z", "y"]
    assert predictions_of("dev", scored, [np.ones(1), np.ones(2)], Part())[1].query_ids == ["a", "b"]


def test_real_values_cannot_be_measured_by_judgements():
    with pytest.raises(
        ConfigError,
        match=r"measure mrr@10 needs judgements, and the data have none for dev .* measures of labels",
    ):
        trainer().fit(module(["rmse", "mrr@10"]), datamodule=real())


def test_validation_needs_labels():
    dev = copy.copy(DEV)
    dev.labels = None
    data = real()
    data.dev_batch = dev
    with pytest.raises(LtrError, match="a validation batch must have labels, got none"):
        trainer().fit(module(), datamodule=data)


# ---------------------------------------------------------------------- the run folder


def run(tiny_model, folder, monitor, data=None, measures=TEXTS, stop=None, epochs=2, lr=1e-3, **settings):
    callback = RunFolder(str(folder), monitor=monitor, **settings)
    callback.claim()
    made = module(measures, CrossEncoder(str(tiny_model)), lr=lr)
    loop = trainer(max_epochs=epochs, callbacks=[callback, *([stop] if stop else [])], log_every_n_steps=1)
    return fit(loop, made, data or real(), callback), callback, made


class Best(RunFolder):
    """Notes the steps at which it saved a best model, with values of one's choice as measured."""

    def __init__(self, *args, values, **settings):
        super().__init__(*args, **settings)
        self.given, self.saved = iter(values), []

    def on_validation_end(self, trainer, module):
        if trainer.state.fn == "fit":
            module.values[self.monitor] = next(self.given)
        super().on_validation_end(trainer, module)

    def keep_best(self, trainer, module, run):
        if trainer.state.fn == "fit":
            self.saved.append(trainer.current_epoch)
        super().keep_best(trainer, module, run)


def bests(tiny_model, folder, monitor, values, **settings):
    callback = Best(str(folder), monitor=monitor, values=values, **settings)
    callback.claim()
    made = module(TEXTS, CrossEncoder(str(tiny_model)), lr=1e-3)
    fit(trainer(max_epochs=len(values), callbacks=[callback]), made, real(), callback)
    return callback


def test_an_error_is_better_when_smaller(tiny_model, tmp_path):
    callback = bests(tiny_model, tmp_path / "a", "rmse", [3.0, 1.0, 2.0])
    assert (callback.saved, callback.best.value, callback.mode) == ([0, 1], 1.0, "min")
    callback = bests(tiny_model, tmp_path / "b", "dev/spearman_top.5", [0.3, 0.1, 0.4])
    assert (callback.saved, callback.mode) == ([0, 2], "max")
    assert callback.best.value == pytest.approx(0.4)


def test_the_weights_of_the_smallest_errors_are_averaged(tiny_model, tmp_path):
    callback = bests(tiny_model, tmp_path / "run", "rmse", [1.0, 3.0, 2.0], average=2)
    assert [value for value, _ in callback.averager.kept] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("monitor", "values", "warned"),
    [
        ("rmse", [1.0, 3.0, 2.0], True),
        ("rmse", [3.0, 1.0, 2.0], False),
        ("rmse", [1.0], False),
        ("spearman_top.5", [0.4, 0.1, 0.2], True),
        ("spearman_top.5", [math.nan, 0.1, 0.2], False),
    ],
)
def test_a_first_validation_that_stays_the_best_is_told(tiny_model, tmp_path, caplog, monitor, values, warned):
    with caplog.at_level("WARNING", logger="ltr"):
        bests(tiny_model, tmp_path / "a", monitor, values)
    said = f"the first of {len(values)} validations stayed the best by dev/{monitor} ({values[0]:.4f}, step 4)"
    assert (said in caplog.text) == warned
    assert ("lower model.lr" in caplog.text) == warned


def test_an_undefined_value_is_never_the_best(tiny_model, tmp_path):
    callback = bests(tiny_model, tmp_path / "run", "spearman_top.5", [math.nan, 0.1, math.nan, 0.2], average=3)
    assert callback.saved == [1, 3]
    assert [value for value, _ in callback.averager.kept] == pytest.approx([0.2, 0.1])


def test_patience_counts_undefined_values(tiny_model, tmp_path, caplog):
    with caplog.at_level("INFO", logger="ltr"), pytest.raises(ConfigError, match="undefined"):
        bests_constant(tiny_model, tmp_path / "run", patience=2)
    assert "dev/spearman has not improved on nan for 2 validations" in caplog.text
    assert read_manifest(tmp_path / "run")["step"] == 2 * len(BATCHES)


def bests_constant(tiny_model, folder, **settings):
    """A training in which all documents keep the same score."""
    callback = RunFolder(str(folder), monitor="spearman", **settings)
    callback.claim()
    scorer = CrossEncoder(str(tiny_model))
    torch.nn.init.zeros_(scorer.model.classifier.weight)
    torch.nn.init.ones_(scorer.model.classifier.bias)
    made = module(["spearman", "rmse"], scorer, lr=1e-14)  # a step this small does not move the bias
    fit(trainer(max_epochs=9 if settings else 2, callbacks=[callback]), made, real(), callback)


def test_a_training_whose_measure_is_never_defined_says_so_at_its_end(tiny_model, tmp_path):
    with pytest.raises(
        ConfigError, match=r"dev/spearman was undefined \(nan\) or infinite at every validation, .* lie in .*run/last"
    ):
        bests_constant(tiny_model, tmp_path / "run")
    assert (tmp_path / "run" / "last" / "model.safetensors").exists()


def test_a_mode_against_the_measure_is_refused(tiny_model, tmp_path):
    with pytest.raises(ConfigError, match="RunFolder: the best rmse is its minimum, got mode max; leave mode out"):
        run(tiny_model, tmp_path / "run", "rmse", mode="max")
    run(tiny_model, tmp_path / "run", "rmse", mode="min", epochs=1)


def test_interpolation_needs_a_first_stage_and_judgements(tiny_model, tmp_path):
    for measures, data in ((["rmse"], real()), (["rmse"], Fixed(BATCHES, lists([2], [1, 0])))):
        with pytest.raises(
            ConfigError, match=r"interpolate: dev mixes .* by what rmse says .* set run.interpolate to null"
        ):
            run(tiny_model, tmp_path / "run", "rmse", data=data, measures=measures, interpolate="dev")


@pytest.mark.parametrize("word", [None, "off", False])
def test_one_meaning_of_every_word_for_no_interpolation(tmp_path, word):
    assert RunFolder(str(tmp_path), interpolate=word).interpolate is None


def test_the_table_of_a_training_on_real_values(tiny_model, tmp_path):
    results, callback, _ = run(tiny_model, tmp_path / "run", "rmse")
    text = (tmp_path / "run" / "results.txt").read_text()
    assert text.startswith("dev\n3 lists, 9 documents; pooled over all documents: rmse")
    row = next(line for line in text.splitlines() if line.startswith("trained")).split()
    assert float(row[1]) == pytest.approx(callback.best.value, abs=1e-4)
    constant, order = (next(x.split() for x in text.splitlines() if x.startswith(n)) for n in ("constant", "random"))
    labels = DEV.labels.numpy()
    assert float(constant[-1]) == pytest.approx(np.sqrt(((labels - 0.5) ** 2).mean()), abs=1e-4), "the toy's mean is .5"
    assert order[2] == "0.0000", "a random order correlates with nothing"
    assert results[0].content()["labels"]["rows"][0]["rmse"] == pytest.approx(callback.best.value, rel=1e-5)
    assert "first stage" not in text
    assert read_manifest(tmp_path / "run")["best"]["measure"] == "dev/rmse"


def test_both_tables_stand_below_each_other(tiny_model, tmp_path):
    graded = Fixed(BATCHES, lists([3, 2], [0, 2, 1, 1, 0], seed=9))
    results, *_ = run(tiny_model, tmp_path / "run", "mrr", data=graded, measures=["mrr", "mae"], epochs=1)
    first, second, third = results[0].text().split("\n\n")
    assert "first stage" in first
    assert second.startswith("Against first stage")
    assert "errors in the unit of the labels" in third
    assert "trained" in third
    found = results[0].content()
    assert {row["measure"] for row in found["rows"]} == {"mrr"}
    assert [row["run"] for row in found["labels"]["rows"]] == ["trained"]


def test_an_interpolation_says_on_which_queries_its_weight_was_chosen():
    runs = [Run.from_dict({"q": {"a": 1.0, "b": b}}, name) for name, b in (("bm25", 0.0), ("ours", 2.0))]
    names = [Results.of(part, *runs, 0.35, {"q": {"a": 1}}, ["mrr"]).runs[-1].name for part in ("dev", "test")]
    assert names == [
        "interpolated (0.35 x first, chosen on these queries)",
        "interpolated (0.35 x first, chosen on dev)",
    ]


def test_results_without_a_first_stage_compare_nothing():
    trained = Fixed(BATCHES, lists([3, 2], [0, 2, 1, 1, 0], seed=9)).part("dev").first
    text = Results.of("dev", None, trained, None, {"q0": {"d1": 2}, "q1": {"d3": 1}}, ["mrr"]).text(title="Mine")
    assert text.startswith("Mine\n2 queries")
    assert "Against" not in text


def test_a_training_that_is_resumed_at_its_end_still_has_its_table(tiny_model, tmp_path):
    run(tiny_model, tmp_path / "run", "rmse", epochs=1)
    before = (tmp_path / "run" / "results.txt").read_text()
    callback = RunFolder(str(tmp_path / "run"), monitor="rmse")
    callback.resumed = True
    callback.claim()
    made = module(TEXTS, CrossEncoder(str(tiny_model)), lr=1e-3)
    fit(trainer(max_epochs=1, callbacks=[callback]), made, real(), callback)
    assert (tmp_path / "run" / "results.txt").read_text() == before
