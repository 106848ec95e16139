"""Tests agree with scipy's and with hand-worked counts."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ltr.metrics.statistics.p_values import PermutationTest, fisher, fisher_test, holm, sequential_test, student
from tests.metrics.statistics.differences import sample


@pytest.mark.parametrize("n", [2, 3, 10, 200])
@pytest.mark.parametrize("shift", [0.0, 0.1, -0.5])
def test_student_is_scipys(n, shift):
    a, b = sample(n, shift), sample(n, seed=1)
    assert student(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)


def test_student_where_the_spread_is_zero():
    assert student(np.zeros(5)) == 1.0
    assert np.isnan(student(np.array([0.3])))
    assert np.isnan(student(np.array([0.5, 0.5])))  # t is infinite, and two equal differences are no evidence
    assert fisher(np.array([0.5, 0.5])) == 0.5
    assert np.isnan(student(np.full(5, 0.25)))
    assert np.isnan(student(np.array([0.3 - 0.2, 0.4 - 0.3])))  # what differs is rounding


def test_a_counted_p_says_over_how_many():
    few, many = np.full(10, 0.5), np.full(100, 0.5)
    assert fisher_test(few) == PermutationTest(2 / 1024)
    assert not fisher_test(few).bound
    found = fisher_test(many, permutations=999)
    assert found == PermutationTest(1 / 1000, 999, 999)
    assert (found.bound, found.least) == (True, 0.001)
    assert not fisher_test(sample(40, 0.15), permutations=999).bound


def blocks(*rows: str):
    return (np.array([letter == "x" for letter in row]) for row in rows)


@pytest.mark.parametrize(
    ("rows", "least", "enough", "expected"),
    [
        (["..x.", "...."], 0, None, (2 / 9, 8)),
        # the third as large is the last drawn: two before it, of six
        (["x.x.", "..x.", "x..."], 0, 3, (3 / 7, 6)),
        (["x.x.", "..x.", "x..."], 4, 3, (3 / 7, 6)),
        # enough among those that are drawn in any case: all of them count
        (["xxx.", "xxxx"], 4, 3, (4 / 5, 4)),
        (["xxx.", "xxxx"], 6, 3, (6 / 7, 6)),
        (["....", "..x."], 2, 3, (2 / 9, 8)),
    ],
)
def test_permutations_are_drawn_until_enough_are_as_large(rows, least, enough, expected):
    p, drawn, most = sequential_test(blocks(*rows), 8, least, enough)
    assert (p, drawn, most) == (pytest.approx(expected[0]), expected[1], 8)


def test_stopping_early_keeps_the_level():
    """Under the null hypothesis the observed statistic is one more draw: its p is at most a level as often as that."""
    rng = np.random.default_rng(0)
    found = np.array([sequential_test(iter(rng.random((50, 100)) >= u), 5000, 200, 10).p for u in rng.random(2000)])
    for level in (0.005, 0.02, 0.05, 0.2, 0.5):
        assert (found <= level).mean() <= level + 3 * np.sqrt(level / 2000)
        assert (found <= level).mean() >= 0.8 * level - 3 * np.sqrt(level / 2000)


@pytest.mark.parametrize("n", [2, 7, 12])
@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_fisher_is_exact_for_few_queries(n, shift):
    d = sample(n, shift)
    counted = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True)
    assert fisher(d) == pytest.approx(counted.pvalue, abs=1e-12)
    assert fisher(np.concatenate([d, np.zeros(30)])) == fisher(d)


def test_fisher_with_ties_in_the_statistic():
    """0.1 + 0.2 and 0.3 differ as floats; flips that give the same sum must count as equal."""
    d = np.array([0.1, 0.2, -0.3, 0.3])
    sums = [abs(a * 1 + b * 2 - c * 3 + e * 3) for a in (1, -1) for b in (1, -1) for c in (1, -1) for e in (1, -1)]
    assert fisher(d) == np.mean([s >= 3 for s in sums])


def test_fisher_by_sampling_is_close_to_exact_and_seeded():
    d = sample(40, 0.15)
    drawn = fisher(d, permutations=50_000, seed=1)
    reference = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=50_000, vectorized=True, rng=np.random.default_rng(2)
    )
    assert drawn == pytest.approx(reference.pvalue, abs=4 * np.sqrt(0.25 / 50_000) * 2)
    assert drawn == fisher(d, permutations=50_000, seed=1)
    assert fisher(d, permutations=99) >= 1 / 100
    assert fisher(np.full(100, 0.5), permutations=999) == 1 / 1000


def test_fisher_in_small_steps(monkeypatch):
    whole = fisher(sample(30, 0.1), permutations=2_000)
    monkeypatch.setattr(sys.modules["ltr.metrics.statistics.p_values"], "CELLS", 1000)
    assert fisher(sample(30, 0.1), permutations=2_000) == pytest.approx(whole, abs=0.05)


def test_fisher_where_nothing_can_be_significant():
    assert fisher(np.zeros(4)) == 1.0
    assert fisher(np.array([0.7])) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_its_definition(p):
    """The k-th smallest p is raised by the number not yet decided, and never below its predecessor."""
    order = np.argsort(p, kind="stable")
    expected, highest = {}, 0.0
    for k, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - k) * p[i]))
        expected[i] = highest
    np.testing.assert_allclose(holm(p), [expected[i] for i in range(len(p))])
