"""The real collections of documents with features."""

import numpy as np
import pytest
import torch

from ltr.data import EngagementData, LetorData
from ltr.data.features.svmlight import read_svmlight
from ltr.losses import MSE, ListNet
from ltr.scorers import AttentionScorer, MLPScorer
from ltr.training import RankingModule
from tests.training.toys import trainer

pytestmark = [pytest.mark.shared, pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*")]

FILES = ["letor-mq2008/train", "letor-mq2008/vali", "lightgbm-rank/train", "vlengagement/train", "ebnerd-sample/vali"]


@pytest.mark.parametrize("name", FILES)
def test_every_number_is_that_of_scikit_learn(shared_data, name):
    from sklearn.datasets import load_svmlight_file

    path = shared_data / f"{name}.txt.gz"
    table = read_svmlight(path)
    features, labels, queries = load_svmlight_file(str(path), query_id=True)
    assert np.array_equal(table.features, features.toarray().astype(np.float32))
    assert np.array_equal(table.labels, labels)
    starts = np.flatnonzero(np.diff(queries, prepend=-1))
    assert table.offsets.tolist() == [*starts.tolist(), len(labels)]
    assert list(map(int, table.query_ids)) == queries[starts].tolist()


@pytest.mark.parametrize(("scorer", "least"), [(MLPScorer, 0.53), (AttentionScorer, 0.49)])
def test_mq2008_is_learnt(shared_data, scorer, least):
    torch.manual_seed(0)
    module = RankingModule(scorer(), ListNet(), lr=1e-3, measures=["ndcg@10"])
    trainer(max_epochs=15).fit(module, datamodule=LetorData(fold=str(shared_data / "letor-mq2008")))
    assert (
        module.values["ndcg@10"] > least
    )  # .42 untrained; lists without relevant documents count 0, so .76 is the most


def test_vlengagement_is_learnt(shared_data):
    folder = shared_data / "vlengagement"
    data = EngagementData(
        train=str(folder / "train.txt.gz"), dev=str(folder / "vali.txt.gz"), duration="duration", standardise_label=True
    )
    torch.manual_seed(0)
    module = RankingModule(MLPScorer(), MSE(), lr=1e-3, measures=["rmse", "spearman"])
    trainer(max_epochs=10).fit(module, datamodule=data)
    assert data.feature_names[0] == "duration"
    assert module.values["spearman"] > 0.25
    assert module.values["rmse"] < 1.06  # 1.08 for the mean of train
