"""Resampled values equal the measure itself on the repeated documents."""

import numpy as np
import pytest

from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.statistics.pooled import Descending, Resampled, drawn_lists

RNG = np.random.default_rng(5)
N = 60
LABELS = RNG.integers(0, 12, N) / 2.0  # many ties
GAINS = np.expm1(LABELS)
PREDICTIONS = np.stack([LABELS + RNG.integers(-3, 4, N), RNG.integers(0, 5, N).astype(float)])
WEIGHTS = RNG.integers(0, 4, (12, N))

TEXTS = ["rmse", "mae", "spearman", "kendall", "ndcg_pooled", "ndcg_pooled@1", "ndcg_pooled@7", "ndcg_pooled@999"]
TEXTS += [f"{name}_{part}.{share}" for name in ("rmse", "mae", "spearman", "kendall") for part in ("top", "rest")
          for share in (2, 55)]  # fmt: skip
TEXTS += ["precision_top.1", "precision_top.4", "r2"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("cells", [1, 2_000_000])
def test_a_weight_is_a_number_of_copies(text, cells, monkeypatch):
    monkeypatch.setattr("ltr.metrics.statistics.pooled.CELLS", cells)
    measure = LabelMeasure.parse(text)
    found = Resampled(measure, PREDICTIONS, LABELS, GAINS).values(WEIGHTS)
    for row, weights in zip(found, WEIGHTS, strict=True):
        at = np.repeat(np.arange(N), weights)
        expected = [measure.pooled(p[at], LABELS[at], GAINS[at]) for p in PREDICTIONS]
        np.testing.assert_allclose(row, expected, rtol=1e-12)


@pytest.mark.parametrize("text", TEXTS)
def test_each_document_once_is_the_measure(text):
    measure = LabelMeasure.parse(text)
    found = Resampled(measure, PREDICTIONS, LABELS, GAINS).values(np.ones((1, N)))
    np.testing.assert_allclose(found[0], [measure.pooled(p, LABELS, GAINS) for p in PREDICTIONS], rtol=1e-12)


def test_what_a_resample_leaves_undefined_is_nan():
    weights = np.array([[2.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    labels, predictions = np.array([1.0, 2.0, 1.0]), np.array([[3.0, 1.0, 2.0]])
    for text in ("spearman", "rmse_rest.2", "kendall", "r2"):
        found = Resampled(LabelMeasure.parse(text), predictions, labels, labels).values(weights)
        assert np.isnan(found[:, 0]).tolist() == [True, False]


def test_drawing_lists():
    drawn = drawn_lists(7, 2000, seed=1)
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.1)
    assert (drawn == drawn_lists(7, 2000, seed=1)).all()
    assert (drawn != drawn_lists(7, 2000, seed=2)).any()


@pytest.mark.parametrize("text", [t for t in TEXTS if t.startswith(("ndcg", "precision"))])
def test_only_the_highest_documents_are_looked_at(text, monkeypatch):
    measure = LabelMeasure.parse(text)
    whole = Resampled(measure, PREDICTIONS, LABELS, GAINS).values(WEIGHTS)
    monkeypatch.setattr("ltr.metrics.statistics.pooled.MORE", 0)
    np.testing.assert_array_equal(Resampled(measure, PREDICTIONS, LABELS, GAINS).values(WEIGHTS), whole)


def test_the_head_holds_what_every_resample_needs(monkeypatch):
    monkeypatch.setattr("ltr.metrics.statistics.pooled.MORE", 0)
    falling = Descending(np.array([5.0, 9.0, 7.0, 7.0, 1.0, 3.0]))
    weights = np.array([[1, 1, 1, 1, 1, 1], [3, 0, 1, 0, 1, 1]])
    docs, taken, starts = falling.head(lambda docs: weights[:, docs], np.array([1, 1]))
    assert (docs.tolist(), starts.tolist()) == ([1, 2, 3], [0, 1]), "equal documents stay together"
    assert taken.tolist() == [[1, 1, 1], [0, 1, 0]]
    docs, _, _ = falling.head(lambda docs: weights[:, docs], np.array([1, 2]))
    assert docs.tolist() == [1, 2, 3, 0], "four are looked at, and hold 1 + 3 of the second resample"
    docs, _, _ = falling.head(lambda docs: weights[:, docs], np.array([9, 9]))
    assert len(docs) == 6, "more than there are"
