"""Scorers on features train through RankingModule, with statistics of their data."""

import numpy as np
import pytest
import torch

from ltr.data import LetorData
from ltr.errors import ConfigError
from ltr.losses import ListNet
from ltr.scorers import LinearScorer, MLPScorer
from ltr.training import RankingModule
from tests.training.toys import Bag, Fixed, lists, trainer


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    """Lists of four documents; the grade is that of feature 2, whose values are large."""
    path = tmp_path_factory.mktemp("data") / "train.txt"
    rng = np.random.default_rng(0)
    rows = [
        f"{grade} qid:{q} 1:{rng.normal():.4f} 2:{1000 * grade + 100 * rng.random():.3f} 3:{rng.normal():.4f}\n"
        for q in range(40)
        for grade in rng.permutation([0, 0, 1, 2])
    ]
    path.write_text("".join(rows))
    return path


def data(path, **settings):
    return LetorData(train=f"{path}[:75%]", dev=f"{path}[75%:]", lists_per_batch=4, **settings)


@pytest.mark.parametrize("scorer", [LinearScorer, MLPScorer])
def test_they_learn(scorer, data_file):
    torch.manual_seed(0)
    made = RankingModule(scorer(), ListNet(), lr=0.02, measures=["ndcg@10"])
    trainer(max_epochs=8).fit(made, datamodule=data(data_file))
    assert made.evaluation.means["ndcg@10"] > 0.95
    assert made.scorer.n_features == 3


def test_the_scorer_holds_the_statistics_of_train(data_file):
    made = RankingModule(LinearScorer(), ListNet(), lr=0.1, measures=["ndcg@10"])
    used = data(data_file, log1p=False)
    trainer(limit_val_batches=0).fit(made, datamodule=used)
    features = used.whole("train").features
    torch.testing.assert_close(made.scorer.shift, features.mean(0))
    torch.testing.assert_close(made.scorer.scale, features.std(0, correction=0))


def test_a_scorer_of_texts_is_refused(data_file):
    with pytest.raises(
        ConfigError,
        match=r"Bag: reads batches of TextLists, and the data give FeatureLists; take ltr.scorers.MLPScorer",
    ):
        trainer().fit(RankingModule(Bag(), ListNet()), datamodule=data(data_file))


def test_data_without_features_are_refused():
    texts = Fixed([lists([2], [1, 0])], lists([2], [1, 0]))
    with pytest.raises(
        ConfigError,
        match=r"MLPScorer: reads batches of FeatureLists, and the data give TextLists; take ltr.scorers.CrossEncoder",
    ):
        trainer().fit(RankingModule(MLPScorer(), ListNet()), datamodule=texts)
