"""Maps to [0, 1] increase strictly, and are those that a model was saved with."""

import math

import numpy as np
import pytest

from ltr.errors import ConfigError
from ltr.inference.probability import KINDS, Sigmoid, probability_of
from ltr.settings import ModelSettings

EXTREMES = [
    -3.4e38,
    -1e4,
    -746.0,
    -745.0,
    -708.0,
    -104.0,
    -1e-40,
    0.0,
    1e-40,
    15.9,
    16.0,
    22.0,
    36.0,
    40.0,
    1e4,
    3.4e38,
]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_scores_that_differ_never_become_one_number(make):
    """Neighbouring float32 numbers, everywhere on their line."""
    one = np.sort(
        np.concatenate([np.float32(EXTREMES), np.random.default_rng(0).normal(0, 20, 10_000).astype(np.float32)])
    )
    after = np.nextafter(one, np.float32(np.inf))
    found, next_found = make()(one), make()(after)
    assert (found < next_found).all()
    assert (np.diff(found)[np.diff(one) > 0] > 0).all()
    assert found.min() >= 0
    assert next_found[np.isfinite(after)].max() <= 1


def test_a_sigmoid_is_one():
    scores = np.random.default_rng(1).normal(0, 8, 2000).astype(np.float32)
    wanted = [1 / (1 + math.exp(-score)) for score in scores.tolist()]
    np.testing.assert_allclose(Sigmoid()(scores), wanted, rtol=0, atol=1.2e-7)
    assert Sigmoid()(np.float32([0.0])).tolist() == [0.5]


def test_a_model_says_which_map():
    assert probability_of(ModelSettings()) == Sigmoid()
    assert probability_of(ModelSettings(calibration={"kind": "sigmoid"})) == Sigmoid()


def test_calibration_is_kept_with_a_model(tmp_path):
    ModelSettings(60, 20, calibration={"kind": "sigmoid"}).write(tmp_path)
    assert ModelSettings.read(tmp_path).calibration == {"kind": "sigmoid"}


def test_what_is_no_calibration_is_told():
    with pytest.raises(ConfigError, match=r"kind must be one of sigmoid.*, got 'magic'; calibrate the model anew"):
        probability_of(ModelSettings(calibration={"kind": "magic"}))
    with pytest.raises(ConfigError, match=r"kind must be one of .*, got None"):
        probability_of(ModelSettings(calibration={"slope": 2.0}))
    with pytest.raises(ConfigError, match=r"slope does not make a map of kind sigmoid"):
        probability_of(ModelSettings(calibration={"kind": "sigmoid", "slope": 2.0}))
    with pytest.raises(ConfigError, match=r"calibration must be a mapping, got 3"):
        ModelSettings(calibration=3)  # type: ignore[arg-type]
