"""Log loss, reliability and calibration error, by hand."""

import math

import numpy as np
import pytest

from ltr.errors import DataError
from ltr.metrics.calibration import expected_calibration_error, log_loss, reliability


def test_log_loss_by_hand():
    found = log_loss(np.array([0.8, 0.4]), np.array([True, False]))
    assert found == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


def test_a_certain_mistake_costs_much_and_stays_a_number():
    assert 600 < log_loss(np.array([0.0]), np.array([True])) < 800


def test_groups_are_of_equal_size_and_by_probability():
    probabilities = np.array([0.9, 0.1, 0.2, 0.7, 0.3, 0.8])
    relevant = np.array([True, False, False, True, True, False])
    low, middle, high = reliability(probabilities, relevant, 3)
    assert [group.count for group in (low, middle, high)] == [2, 2, 2]
    assert (low.predicted, low.observed) == (pytest.approx(0.15), 0.0)
    assert (middle.predicted, middle.observed) == (pytest.approx(0.5), 1.0)
    assert (high.predicted, high.observed) == (pytest.approx(0.85), 0.5)
    assert expected_calibration_error([low, middle, high]) == pytest.approx((0.15 + 0.5 + 0.35) / 3)


def test_wilsons_interval_as_tables_have_it():
    """Wilson's interval of 1 in 10 is [.0179, .4042]."""
    (group,) = reliability(np.full(10, 0.1), np.arange(10) == 0)
    assert (round(group.low, 4), round(group.high, 4)) == (0.0179, 0.4042)


def test_equal_probabilities_stay_together():
    probabilities = np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.9])
    groups = reliability(probabilities, probabilities > 0.4, 6)
    assert [group.count for group in groups] == [1, 4, 1]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (2, 3)])
def test_numbers_that_do_not_fit_are_refused(n, m):
    with pytest.raises(DataError, match=f"one judgement for each probability and one or more, got {n} and {m}"):
        reliability(np.zeros(n), np.zeros(m, bool))
