"""Run folders of trainings on features: complete, continued, and refused where they cannot work."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ltr.data import EngagementData, LetorData
from ltr.errors import ConfigError, Interrupted
from ltr.inference import FeatureRanker
from ltr.io.trec import read_run
from ltr.losses import MSE, ListNet
from ltr.metrics import evaluate
from ltr.scorers import AttentionScorer, CrossEncoder, LinearScorer, MLPScorer, load_scorer
from ltr.training import RankingModule, RunFolder
from ltr.training.fitting import fit, load_weights
from ltr.training.run.records import read_manifest, read_metrics
from tests.cli.feature_files import write_fold, write_log
from tests.training.run.test_run_folder import CtrlC
from tests.training.toys import trainer


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    return write_fold(tmp_path_factory.mktemp("data") / "Fold1")


@pytest.fixture(scope="module")
def log_file(tmp_path_factory):
    return str(write_log(tmp_path_factory.mktemp("data") / "log.csv"))


def letor(fold, **settings):
    return LetorData(fold=str(fold), **{"lists_per_batch": 4, **settings})


def run(folder, data, make=MLPScorer, loss=None, measures=("ndcg@3",), resumed=False, epochs=2, stop=None, **settings):
    torch.manual_seed(0)
    callback = RunFolder(str(folder), monitor=measures[0], **settings)
    callback.resumed = resumed
    callback.claim()
    module = RankingModule(make(), loss or ListNet(), lr=0.05, measures=list(measures))
    loop = trainer(max_epochs=epochs, callbacks=[callback, *([stop] if stop else [])], log_every_n_steps=1)
    return fit(loop, module, data, callback), module


@pytest.mark.parametrize("make", [LinearScorer, MLPScorer, AttentionScorer])
def test_a_complete_run(fold, tmp_path, make):
    data = letor(fold)
    results, module = run(tmp_path / "run", data, make, average=2, epochs=3)
    assert [result.part for result in results] == ["dev", "test"]
    text = (tmp_path / "run" / "results.txt").read_text()
    assert "trained" in text
    assert "first stage" not in text
    assert read_manifest(tmp_path / "run")["status"] == "finished"
    assert read_manifest(tmp_path / "run")["data"] == data.signature
    opened = load_scorer(tmp_path / "run" / "best")
    load_weights(module, tmp_path / "run" / "best")
    module.eval()
    whole = data.whole("test")
    assert torch.equal(opened(whole), module.scorer(whole))


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_run_that_goes_on_ends_where_an_unbroken_one_does(fold, tmp_path, step):
    def make():
        return MLPScorer(dropout=0.3)

    run(tmp_path / "whole", letor(fold), make)
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", letor(fold), make, stop=CtrlC(step))
    assert read_manifest(tmp_path / "cut")["status"] == "interrupted"
    run(tmp_path / "cut", letor(fold), make, resumed=True)
    steps = [read_metrics(tmp_path / name, until_step=99) for name in ("whole", "cut")]
    assert [row["step"] for row in steps[0]] == [row["step"] for row in steps[1]]
    weights = [load_file(tmp_path / name / "last" / "model.safetensors") for name in ("whole", "cut")]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-6)


def test_amounts_are_learnt_and_given_back(log_file, tmp_path):
    measures = ("spearman", "ndcg_label@3", "rmse")
    data = EngagementData(train=f"{log_file}[:75%]", dev=f"{log_file}[75%:]", standardise_label=True, lists_per_batch=3)
    results, module = run(tmp_path / "run", data, loss=MSE(), measures=measures, epochs=15)
    assert results[0].qrels is None
    assert module.values["spearman"] > 0.8
    ranker = FeatureRanker.load(tmp_path / "run" / "best", device="cpu")
    assert ranker.settings.feature_names == ("words", "length")
    whole = data.whole("dev")
    amounts = ranker.amounts(whole.features.numpy(), whole.list_offsets.diff().tolist())
    seconds = data.labels_of("dev").gains
    assert np.corrcoef(amounts, seconds)[0, 1] > 0.8
    assert np.abs(amounts - seconds).mean() < np.abs(seconds - seconds.mean()).mean()


def test_there_is_no_first_stage_to_mix_in(fold, tmp_path):
    with pytest.raises(
        ConfigError, match=r"interpolate: dev mixes the first stage's scores in .* set run.interpolate to null"
    ):
        run(tmp_path / "run", letor(fold), interpolate="dev")


def test_measures_of_judgements_need_grades(log_file, tmp_path):
    with pytest.raises(ConfigError, match="measure ndcg@3 needs judgements, and the data have none for dev"):
        run(tmp_path / "run", EngagementData(train=log_file, dev=log_file))


def test_a_cross_encoder_does_not_read_features(fold, tmp_path, tiny_model):
    with pytest.raises(
        ConfigError,
        match=r"CrossEncoder: reads batches of TextLists, and the data give FeatureLists; take ltr.scorers.MLPScorer",
    ):
        run(tmp_path / "run", letor(fold), lambda: CrossEncoder(str(tiny_model)))


def test_a_trained_scorer_is_measured_with_its_own_statistics(fold, tmp_path):
    run(tmp_path / "run", letor(fold))
    opened = load_scorer(tmp_path / "run" / "best")
    shift = opened.shift.clone()
    module = RankingModule(opened, ListNet(), measures=["ndcg@3"])
    trainer().validate(module, datamodule=LetorData(dev=str(fold / "test.txt")), verbose=False)
    assert torch.equal(opened.shift, shift)
    trainer(max_epochs=1).fit(module, datamodule=letor(fold, log1p=False))
    assert torch.equal(opened.shift, shift)
    assert opened.log1p


def test_measures_of_a_limited_validation_are_those_of_what_it_scored(fold, tmp_path, caplog):
    """Lists that the trainer leaves out are no misses of the model: figures are those of the lists that were scored."""
    data, folder = letor(fold, eval_docs_per_batch=8), tmp_path / "run"
    callback = RunFolder(str(folder), monitor="ndcg@3")
    callback.claim()
    module = RankingModule(MLPScorer(), ListNet(), lr=0.05, measures=["ndcg@3"])
    loop = trainer(max_epochs=1, callbacks=[callback], limit_val_batches=2, limit_test_batches=0.5)
    fit(loop, module, data, callback)
    for part in ("dev", "test"):
        scored, judged = read_run(folder / part / "best.trec"), data.part(part).qrels
        mine = {query_id: judged[query_id] for query_id in scored.query_ids}
        assert 0 < len(mine) < len(judged)
        assert module.judgements[part] == mine
        assert part != "dev" or callback.best.value == evaluate(scored, mine, ["ndcg@3"])["ndcg@3"]
        told = f"\n{len(mine)} queries; missing from the run (count 0): 0"
        assert told in (folder / "results.txt").read_text()
    assert "dev is measured on" in caplog.text
