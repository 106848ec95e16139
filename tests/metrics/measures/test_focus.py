"""Measures of the focus region agree with scipy and with plain definitions."""

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.metrics.measures.focus import focus_measures, ndcg_of_labels, precision_of_top

RNG = np.random.default_rng(0)
LABELS = RNG.gamma(2.0, 30.0, 101)
PREDICTIONS = LABELS + RNG.normal(0, 20, 101)


def test_inside_and_outside_agree_with_scipy():
    found = focus_measures(PREDICTIONS, LABELS, top=0.2)
    order = np.argsort(-LABELS)
    for name, part in (("top", order[:21]), ("rest", order[21:])):
        p, y = PREDICTIONS[part], LABELS[part]
        assert found[f"rmse_{name}"] == pytest.approx(math.sqrt(np.mean((p - y) ** 2)))
        assert found[f"mae_{name}"] == pytest.approx(np.mean(np.abs(p - y)))
        assert found[f"spearman_{name}"] == pytest.approx(stats.spearmanr(p, y).statistic)
        assert found[f"kendall_{name}"] == pytest.approx(stats.kendalltau(p, y).statistic)
    assert found["precision_top"] == len(set(order[:21]) & set(np.argsort(-PREDICTIONS)[:21])) / 21


def test_labels_equal_to_the_bar_belong_to_the_focus():
    found = focus_measures(np.array([1.0, 1.0, 3.0, 9.0]), np.array([1.0, 2.0, 2.0, 2.0]), top=0.25)
    assert found["mae_rest"] == 0.0
    assert found["mae_top"] == pytest.approx((1 + 1 + 7) / 3)


def test_constant_sides_have_no_correlation():
    found = focus_measures(np.array([1.0, 1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0]), top=0.25)
    assert all(math.isnan(found[key]) for key in ("spearman_top", "kendall_top", "spearman_rest", "kendall_rest"))


def test_all_labels_equal_leave_no_rest():
    found = focus_measures(np.array([1.0, 2.0]), np.array([3.0, 3.0]), top=0.5)
    assert math.isnan(found["rmse_rest"])
    assert math.isnan(found["mae_rest"])
    assert found["mae_top"] == 1.5


def test_tied_predictions_count_their_expectation():
    focus = np.array([True, False, True, False])
    assert precision_of_top(np.array([2.0, 1.0, 1.0, 0.0]), focus) == (1 + 0.5) / 2
    assert precision_of_top(np.zeros(4), focus) == 0.5


def test_ndcg_of_labels_by_hand():
    value = ndcg_of_labels(np.array([1.0, 3.0, 2.0]), np.array([5.0, 1.0, 0.0]), cutoff=3)[0]
    assert value == pytest.approx((1 + 5 / 2) / (5 + 1 / math.log2(3)))
    assert ndcg_of_labels(np.array([1.0, 3.0, 2.0]), np.array([5.0, 1.0, 0.0]), cutoff=1)[0] == pytest.approx(1 / 5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=5), st.integers(1, 6), st.randoms())
def test_ties_in_the_ndcg_are_the_mean_over_all_their_orders(labels, cutoff, random):
    predictions = [random.choice([0.0, 1.0]) for _ in labels]
    ideal = sum(y / math.log2(i + 2) for i, y in enumerate(sorted(labels, reverse=True)[:cutoff]))
    values = []
    for order in permutations(range(len(labels))):
        if all(predictions[a] >= predictions[b] for a, b in pairwise(order)):
            values.append(sum(labels[d] / math.log2(i + 2) for i, d in enumerate(order[:cutoff])))
    expected = np.mean(values) / ideal if ideal else 0.0
    assert ndcg_of_labels(np.array(predictions), np.array(labels, float), cutoff)[0] == pytest.approx(expected)


def test_lists_are_averaged():
    p, y = np.array([1.0, 2.0, 1.0, 2.0, 0.0]), np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    found = focus_measures(p, y, top=0.4, cutoff=1, offsets=[0, 2, 4, 4, 5])
    # the second list is right; the third is empty and the fourth has no gain
    assert found["ndcg_label@1"] == 1 / 4


def test_what_cannot_be_measured():
    one = np.array([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"flat and equally long, got \(2,\) and \(3,\)"):
        focus_measures(one, np.ones(3))
    for top in (0, 1, 20):
        with pytest.raises(ConfigError, match=f"focus: the top share must be between 0 and 1, got {top}"):
            focus_measures(one, one, top)
    with pytest.raises(DataError, match="focus: there are no documents to measure"):
        focus_measures(np.array([]), np.array([]))
    with pytest.raises(DataError, match="focus: labels must be finite, got nan at position 1"):
        focus_measures(one, np.array([1.0, np.nan]))
    with pytest.raises(DataError, match="focus: predictions must be finite, got inf at position 0"):
        focus_measures(np.array([np.inf, 1.0]), one)
    with pytest.raises(DataError, match="ndcg of labels: a gain must not be negative, got -1; ask for another"):
        focus_measures(one, np.array([-1.0, 1.0]), cutoff=5)
    with pytest.raises(ConfigError, match="ndcg of labels: the cutoff must be at least 1, got 0"):
        focus_measures(one, one, cutoff=0)
    with pytest.raises(ShapeError, match=r"ndcg of labels: offsets must rise from 0 to 2 documents, got \[0, 1\]"):
        focus_measures(one, one, cutoff=1, offsets=[0, 1])
