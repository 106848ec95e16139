"""Learning-rate schedules."""

import pytest

from ltr.errors import ConfigError
from ltr.training.schedules import SCHEDULES, check, factor


def test_linear_rises_then_falls_to_zero():
    rates = [factor(step, 10, 0.2, "linear") for step in range(11)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == 0.0
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_cosine_is_half_way_down_in_the_middle():
    assert factor(5, 10, 0.0, "cosine") == pytest.approx(0.5)
    assert factor(10, 10, 0.0, "cosine") == pytest.approx(0.0)


def test_constant_stays():
    assert [factor(step, 10, 0.0, "constant") for step in (0, 5, 10)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_first_step_learns_and_no_step_goes_beyond_the_peak(schedule):
    rates = [factor(step, 7, 0.5, schedule) for step in range(8)]
    assert rates[0] > 0
    assert max(rates) == 1.0
    assert min(rates) >= 0


def test_unknown_schedule_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown schedule 'cosin'; did you mean 'cosine'\?"):
        check("cosin", 0.1)


@pytest.mark.parametrize("warmup", [-0.1, 1.0])
def test_warmup_is_a_share(warmup):
    with pytest.raises(ConfigError, match=r"warmup is a share of the steps in \[0, 1\)"):
        check("linear", warmup)
