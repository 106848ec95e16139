"""Trials: the defaults first, then what the sampler draws, the same after an interruption."""

import math

import pytest

from ltr.errors import ConfigError
from ltr.experiments.spec.search import Range, best, starting, suggest

SPACE = {"lr": Range(1e-5, 1e-2, log=True), "center": Range(-1.0, 3.0), "kind": Range(choices=("a", "b"))}


def run(trials, stop=None):
    """The settings of a study whose value is best at lr 1e-3 and center 2."""
    history = []
    for _ in range(trials if stop is None else stop):
        params = suggest(SPACE, history, trials, larger=True, seed=3)
        history.append((params, -abs(math.log10(params["lr"]) + 3) - abs(params["center"] - 2)))
    return history


def test_the_first_trial_takes_defaults():
    assert starting(SPACE) == {"lr": pytest.approx(3.162e-4), "center": 1.0, "kind": "a"}
    assert starting({"lr": Range(0.0, 1.0, default=0.25)}) == {"lr": 0.25}
    assert suggest(SPACE, [], 8, True, 0) == starting(SPACE)


def test_trials_depend_on_the_history_alone():
    whole = run(8)
    assert whole[:3] == run(8, stop=3)
    assert suggest(SPACE, whole[:5], 8, True, 3) == whole[5][0]
    assert len({params["lr"] for params, _ in whole}) == 8


def test_trials_stay_in_their_range_and_learn():
    history = run(40)
    for params, _ in history:
        assert 1e-5 <= params["lr"] <= 1e-2
        assert -1 <= params["center"] <= 3
        assert params["kind"] in ("a", "b")
    late = sum(value for _, value in history[25:]) / 15
    early = sum(value for _, value in history[:13]) / 13
    assert late > early


def test_failed_trials_are_no_trials_to_learn_from():
    history = [(starting(SPACE), None)] * 3
    assert set(suggest(SPACE, history, 8, False, 0)) == set(SPACE)
    assert best(history, True) is None


def test_the_best_trial_respects_the_direction():
    history = [({}, 0.5), ({}, None), ({}, 0.7), ({}, 0.7), ({}, 0.1)]
    assert best(history, larger=True) == 2
    assert best(history, larger=False) == 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"low": 1.0}, "needs finite low and high, or choices, got low 1.0, high None"),
        ({"low": 2, "high": 1}, "must rise from low to high, got 2 and 1"),
        ({"low": 0.0, "high": 1.0, "log": True}, "positive low, got 0"),
        ({"low": 0.0, "high": 1.0, "default": 2.0}, "default must lie between low 0 and high 1, got 2.0"),
        ({"choices": [1], "low": 0.0}, "choices, or low and high, not both"),
        ({"choices": [1, 2], "default": 3}, "must be one of the choices"),
    ],
)
def test_ranges_that_are_none(settings, said):
    with pytest.raises(ConfigError, match=said):
        Range(**settings)
