"""Normalisation of features."""

import numpy as np
import pytest

from ltr.data.features import standardise
from ltr.data.features.standardise import Normalisation

FEATURES = np.random.default_rng(0).normal(5, 3, (1000, 4)).astype(np.float32)


@pytest.mark.parametrize("log1p", [False, True])
def test_train_has_mean_zero_and_deviation_one(log1p, monkeypatch):
    monkeypatch.setattr(standardise, "ROWS", 300)  # pieces of which the last is shorter
    made = Normalisation.fit(FEATURES, log1p=log1p)(FEATURES)
    np.testing.assert_allclose(made.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(made.std(0), 1, rtol=1e-12)


def test_the_logarithm_keeps_sign_and_order():
    values = np.array([[-3.0], [0.0], [np.e - 1]])
    assert Normalisation.fit(values, log1p=True, standardise=False)(values).ravel() == pytest.approx([-np.log(4), 0, 1])


def test_off_means_as_they_are():
    fitted = Normalisation.fit(FEATURES, log1p=False, standardise=False)
    assert np.array_equal(fitted(FEATURES), FEATURES.astype(float))


@pytest.mark.parametrize("value", [0.0, 1e9, 0.1])
def test_a_constant_feature_becomes_zero(value):
    features = np.full((7, 1), value, np.float32)
    assert np.abs(Normalisation.fit(features)(features)).max() <= 1e-6


def test_a_large_mean_does_not_drown_the_deviation():
    features = (1e6 + np.arange(100.0))[:, None]
    assert Normalisation.fit(features).scale == pytest.approx(np.arange(100.0).std())
