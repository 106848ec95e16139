"""A saved scorer on features put to use."""

import numpy as np
import pandas as pd
import pytest
import torch

from ltr.data.features.standardise import Target
from ltr.errors import DataError, ShapeError
from ltr.inference import FeatureRanker, feature_ranker
from ltr.scorers import AttentionScorer, FeatureSettings

NAMES = ("length", "age", "clicks")
FEATURES = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)


@pytest.fixture
def ranker(tmp_path):
    torch.manual_seed(0)
    scorer = AttentionScorer(width=8, layers=1, heads=2)
    scorer.fit_to(FeatureSettings(3, True, shift=np.ones(3), scale=np.full(3, 2.0)))
    target = {"log1p": True, "mean": 4.0, "std": 0.5}
    scorer.save(tmp_path / "model", FeatureSettings(feature_names=NAMES, target=target))
    return FeatureRanker.load(tmp_path / "model", device="cpu")


def test_lists_are_scored_as_they_would_be_alone(ranker, monkeypatch):
    sizes = [4, 0, 3, 2]
    apart = [ranker.scores(part) for part in np.split(FEATURES, [4, 7])]
    np.testing.assert_allclose(ranker.scores(FEATURES, sizes), np.concatenate(apart), rtol=1e-5, atol=1e-6)
    assert not np.allclose(ranker.scores(FEATURES), ranker.scores(FEATURES, sizes))
    monkeypatch.setattr(feature_ranker, "WINDOW", 2)
    np.testing.assert_allclose(ranker.scores(FEATURES, sizes), np.concatenate(apart), rtol=1e-5, atol=1e-6)


def test_no_documents_no_scores(ranker):
    assert ranker.scores(np.zeros((0, 3))).shape == (0,)


def test_a_table_is_read_by_names(ranker):
    table = pd.DataFrame(
        {"other": ["x"] * 9, "clicks": FEATURES[:, 2], "age": FEATURES[:, 1], "length": FEATURES[:, 0]}
    )
    assert np.array_equal(ranker.scores(table), ranker.scores(FEATURES))
    with pytest.raises(DataError, match="FeatureRanker: no column 'clicks' in the table; did you mean 'click'"):
        ranker.scores(table.rename(columns={"clicks": "click"}))


def test_amounts_are_in_the_unit_of_the_labels(ranker):
    scores = ranker.scores(FEATURES)
    np.testing.assert_allclose(ranker.amounts(FEATURES), np.expm1(scores * 0.5 + 4.0), rtol=1e-5)
    ranker.target = None
    assert np.array_equal(ranker.amounts(FEATURES), scores)
    assert Target(log1p=True, mean=4.0, std=0.5).back(np.array([-99.0])).tolist() == [0.0]


def test_what_does_not_fit_is_refused(ranker):
    with pytest.raises(ShapeError, match=r"features must be \[documents, 3\], got \[2, 4\]"):
        ranker.scores(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match="sizes must add up to 9 documents, got 8"):
        ranker.scores(FEATURES, [4, 4])
    broken = FEATURES.copy()
    broken[5, 1] = np.nan
    with pytest.raises(DataError, match="every value must be a finite number, got nan in document 5, feature age"):
        ranker.scores(broken)


def test_a_table_is_read_as_training_reads_it(ranker):
    table = pd.DataFrame(FEATURES, columns=list(NAMES))
    times = table.assign(age=pd.to_timedelta(np.arange(9), unit="s"), clicks=[str(v) for v in FEATURES[:, 2]])
    numbers = table.assign(age=np.arange(9))
    np.testing.assert_array_equal(ranker.scores(times), ranker.scores(numbers))
    seconds = pd.DataFrame({name: pd.to_timedelta(np.arange(9), unit="s") for name in NAMES})
    np.testing.assert_array_equal(ranker.scores(seconds), ranker.scores(np.tile(np.arange(9.0)[:, None], 3)))
    largest = np.finfo(np.float32).max
    np.testing.assert_array_equal(ranker.scores(table.assign(age=1e39)), ranker.scores(table.assign(age=largest)))


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [("1_000", "1_000"), ("\u0661", "\u0661"), (None, "None"), (pd.Timestamp("2024-01-02"), "2024-01-02 00:00:00")],
)
def test_what_is_no_number_is_refused(ranker, wrong, shown):
    table = pd.DataFrame(FEATURES, columns=list(NAMES)).astype(object)
    table.loc[4, "age"] = wrong
    with pytest.raises(DataError, match=f"must be a finite number, got {shown} in document 4, feature age"):
        ranker.scores(table)
    dates = pd.DataFrame({name: pd.to_datetime(np.arange(9), unit="s") for name in NAMES})
    for array in (dates.to_numpy(), table.to_numpy(), FEATURES.astype(str), FEATURES.astype(complex)):
        with pytest.raises(DataError, match="FeatureRanker: features must be numbers, got"):
            ranker.scores(array)
    with pytest.raises(DataError, match="FeatureRanker: two columns have the name 'age'"):
        ranker.scores(pd.concat([table, table[["age"]]], axis=1))
