"""Measures of preferences, from their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ltr.errors import DataError
from ltr.metrics import LabelledLists, evaluate_labels
from ltr.metrics.measures import preferences
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.yardsticks import LONGEST, yardsticks

RANDOM = np.random.default_rng(0)
OFFSETS = np.array([0, 6, 6, 9, 14])
LABELS = np.round(RANDOM.normal(size=14), 0)
SCORES = np.round(RANDOM.normal(size=14), 1)
ONE = np.array([0, 5])


def lists():
    return [slice(a, b) for a, b in itertools.pairwise(OFFSETS.tolist())]


def test_pair_accuracy_is_counted_pair_by_pair():
    expected = []
    for own in lists():
        right = [
            1.0 if p > q else 0.5 if p == q else 0.0
            for (p, y), (q, z) in itertools.permutations(zip(SCORES[own], LABELS[own], strict=True), 2)
            if y > z
        ]
        expected.append(np.mean(right) if right else 0.5)
    assert preferences.pair_accuracy(SCORES, LABELS, OFFSETS).tolist() == pytest.approx(expected)


def test_top_region_counts_pairs_whose_better_document_is_in_it():
    labels, scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0]), np.array([1.0, 9.0, 2.0, 3.0, 0.0])
    # the top fifth is the first document: above the last alone
    assert preferences.pair_accuracy(scores, labels, ONE, top=0.2).tolist() == [0.25]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9])
def test_best_of_n_is_the_mean_over_all_draws(n):
    gains = RANDOM.random(5)
    for scores in (np.array([3.0, 1.0, 2.0, 5.0, 4.0]), np.array([1.0, 1.0, 2.0, 2.0, 0.0])):
        drawn = []
        for chosen in itertools.combinations(range(5), min(n, 5)):
            best = max(scores[list(chosen)])
            drawn.append(np.mean([gains[i] for i in chosen if scores[i] == best]))
        if len(set(scores)) == 5 or n in (1, 5, 9):  # ties inside a draw share alike only then
            assert preferences.best_of(scores, gains, ONE, n)[0] == pytest.approx(np.mean(drawn))
    assert preferences.regret(gains, gains, ONE)[0] == pytest.approx(0)


def test_calibration_error_by_hand():
    # two pairs at σ(log 3) = .75, one right, one wrong; one at σ(0) = .5, half right
    scores = np.array([np.log(3), 0, 0, np.log(3), 1, 1])
    labels = np.array([1.0, 0, 1, 0, 1, 0])
    found = preferences.calibration_error(scores, labels, np.array([0, 2, 4, 6]))
    assert found == pytest.approx((2 * 0.25 + 0) / 3)
    assert np.isnan(preferences.calibration_error(scores, np.ones(6), np.array([0, 2, 4, 6])))


def test_tie_auc_by_hand():
    # one tied pair .5 apart; two decided ones, 1 and .5 apart
    assert preferences.tie_auc(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.0, 1.0]), np.array([0, 3])) == 0.75
    assert np.isnan(preferences.tie_auc(np.zeros(2), np.array([0.0, 1.0]), np.array([0, 2])))


def test_the_longest_stands_beside_whatever_is_measured():
    chosen = [LabelMeasure.parse(m) for m in ("pair_accuracy", "best_of@2", "regret", "spearman_length")]
    truth = LabelledLists(["a"], ONE, np.arange(5.0), lengths=np.array([1, 2, 3, 4, 9]))
    random, longest = yardsticks(truth, chosen)
    assert longest.run == LONGEST
    assert longest.means == {
        "pair_accuracy": 1,
        "best_of@2": pytest.approx(3),
        "regret": 0,
        "spearman_length": pytest.approx(1),
    }
    assert random.means == {"pair_accuracy": 0.5, "best_of@2": pytest.approx(2), "regret": 2, "spearman_length": 0}
    without = LabelledLists(["a"], ONE, np.arange(5.0))
    assert [e.run for e in yardsticks(without, chosen[:3])] == ["random order"]
    with pytest.raises(DataError, match="spearman_length needs the lengths of documents"):
        evaluate_labels(np.arange(5.0), without, "spearman_length")


def test_conventions_tell_what_is_not_defined():
    truth = LabelledLists(["a"], ONE, np.arange(5.0), lengths=np.arange(5))
    found = evaluate_labels(np.arange(5.0), truth, ["pair_accuracy_top.2", "spearman_length"]).conventions
    assert "lists without a pair count .5, constant lists count 0" in found
    assert "labels >=" not in found
