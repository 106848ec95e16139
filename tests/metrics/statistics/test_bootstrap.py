"""Intervals agree with scipy's."""

import sys

import numpy as np
import pytest
from scipy import stats

from ltr.errors import ConfigError, ShapeError
from ltr.metrics.statistics.bootstrap import bootstrap, bootstraps


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("n", [8, 53, 400])
def test_bootstrap_is_scipys_bca(n, level):
    x = np.random.default_rng(n).beta(0.5, 1.5, n)
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=20_000, confidence_level=level, method="BCa", rng=np.random.default_rng(5)
    ).confidence_interval
    width = theirs.high - theirs.low
    np.testing.assert_allclose(bootstrap(x, level, 20_000), theirs, atol=0.03 * width)


def test_bootstrap_of_skewed_values_reaches_out_on_the_long_side():
    x = np.array([0.0] * 18 + [1.0] * 2)
    low, high = bootstrap(x)
    assert high - x.mean() > x.mean() - low
    assert bootstrap(x) == (low, high)


def test_columns_that_share_draws_have_the_intervals_of_each_alone(monkeypatch):
    rng = np.random.default_rng(0)
    columns = [rng.random(40), np.ones(40), rng.integers(0, 2, 40).astype(float)]
    alone = [bootstrap(x, resamples=500) for x in columns]
    monkeypatch.setattr(sys.modules["ltr.metrics.statistics.bootstrap"], "DRAWN", 100)
    assert bootstraps(columns, resamples=500) == alone
    assert alone[1] == (1.0, 1.0)


def test_draws_are_made_once_for_all_columns(monkeypatch):
    made = []
    true = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: made.append(seed) or true(seed))
    bootstraps([true(i).random(9) for i in range(6)], resamples=50, seed=3)
    assert made == [3]


def test_columns_are_of_the_same_queries():
    with pytest.raises(ShapeError, match=r"bootstrap: columns must be of the same queries, got lengths \[2, 3\]"):
        bootstraps([np.zeros(3), np.ones(2)])


def test_bootstrap_where_there_is_no_spread():
    assert bootstrap(np.full(5, 0.25)) == (0.25, 0.25)
    for few in ([0.5], []):  # one query tells nothing about others
        assert np.isnan(bootstrap(np.array(few))).all()


@pytest.mark.parametrize("level", [0, 1, 95])
def test_levels_that_are_no_share(level):
    with pytest.raises(ConfigError, match="bootstrap: the level must be between 0 and 1, got"):
        bootstrap(np.array([0.0, 1.0]), level)
