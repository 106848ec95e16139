"""Maps that are fitted are those of their definitions, and the better one is chosen on other queries."""

import json

import numpy as np
import pytest
from scipy.special import expit

from ltr.errors import ConfigError, DataError
from ltr.inference.calibrating import calibrate, isotonic, platt, store
from ltr.inference.probability import Fitted, probability_of
from ltr.settings import ModelSettings


def drawn(true, n=4000, seed=0):
    """Scores, relevance by the true probabilities, and 100 queries."""
    draw = np.random.default_rng(seed)
    scores = draw.normal(0, 2, n).astype(np.float32)
    return scores, draw.random(n) < true(scores), np.repeat(np.arange(100), n // 100)


def test_platt_finds_the_slope_and_the_shift_that_made_the_data():
    scores, relevant, _ = drawn(lambda s: expit(0.7 * s - 2), n=40_000)
    found = platt(scores, relevant)
    assert found.slope == pytest.approx(0.7, abs=0.04)
    assert found.logit(np.zeros(1))[0] == pytest.approx(-2, abs=0.06)


def test_platts_mean_probability_is_that_of_its_targets():
    """What least log loss means: the derivative by the shift is 0."""
    scores, relevant, _ = drawn(lambda s: expit(s))
    positive, n = relevant.sum(), len(relevant)
    targets = np.where(relevant, (positive + 1) / (positive + 2), 1 / (n - positive + 2))
    assert expit(platt(scores, relevant).logit(scores)).mean() == pytest.approx(targets.mean(), abs=1e-6)


def test_the_isotonic_map_has_the_shares_of_its_steps():
    """Two clear steps, by hand: (0 of 3, then 3 of 3), each drawn towards Platt's probability as by one more document."""
    scores, relevant = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]), np.array([0, 0, 0, 1, 1, 1], bool)
    base, found = platt(scores, relevant), isotonic(scores, relevant)
    assert found.scores == (-2.0, 2.0)
    wanted = [(3 * share + expit(base.logit(np.array([knot])))[0]) / 4 for share, knot in ((0, -2.0), (1, 2.0))]
    np.testing.assert_allclose(expit(found.logits), wanted, atol=1e-5)
    assert found.slope == base.slope


@pytest.mark.parametrize("fit", [platt, isotonic])
def test_maps_increase_strictly(fit):
    scores, relevant, _ = drawn(lambda s: np.where(s > 1, 0.6, 0.02))
    some = np.sort(np.concatenate([scores, np.float32([-1e30, -50, 50, 1e30])]))
    own, beside = fit(scores, relevant)(some), fit(scores, relevant)(np.nextafter(some, np.float32(np.inf)))
    assert (own < beside).all()
    assert (np.diff(own)[np.diff(some) > 0] > 0).all()
    assert 0 < own.min() < own.max() < 1


@pytest.mark.parametrize(
    ("true", "kind"), [(lambda s: expit(s - 1), "platt"), (lambda s: np.where(s > 1, 0.6, 0.02), "isotonic")]
)
def test_the_better_is_chosen_by_queries_that_it_was_not_fitted_on(true, kind):
    scores, relevant, queries = drawn(true)
    found = calibrate(scores, relevant, queries)
    assert found.kind == kind
    assert found.held[kind].log_loss == min(held.log_loss for held in found.held.values())
    assert found.held[kind].error < 0.05 < found.held["sigmoid"].error
    entropy = -(true(scores) * np.log(true(scores)) + (1 - true(scores)) * np.log(1 - true(scores))).mean()
    assert found.held[kind].log_loss == pytest.approx(entropy, abs=0.03)


def test_a_query_is_held_out_as_a_whole():
    """Each query has a score of its own: in the query it tells everything, on others nothing."""
    queries, draw = np.repeat(np.arange(40), 25), np.random.default_rng(0)
    relevant = (draw.random(40) < np.where(np.arange(40) < 20, 0.3, 0.7))[queries]
    relevant[::25] = True
    relevant[1::25] = False
    scores = queries + draw.random(1000) * 0.01
    found = calibrate(scores, relevant, queries)
    assert found.held["isotonic"].log_loss > 0.5  # from the same queries it would be near 0


def test_the_map_is_stored_beside_what_else_stands_there(tmp_path):
    scores, relevant, queries = drawn(lambda s: expit(s))
    found = calibrate(scores, relevant, queries)
    (tmp_path / "ltr.json").write_text('{"max_length": 77, "of a later version": [1]}')
    store(tmp_path, ModelSettings(), found, {"dataset": "mine/dev"})
    held = json.loads((tmp_path / "ltr.json").read_text())
    assert (held["max_length"], held["of a later version"]) == (77, [1])
    assert held["calibration"]["fitted"] == {"dataset": "mine/dev"}
    opened = probability_of(ModelSettings.read(tmp_path))
    np.testing.assert_array_equal(opened(scores), found.chosen(scores))


def test_a_model_from_elsewhere_gets_a_file(tmp_path):
    found = calibrate(*drawn(lambda s: expit(s)))
    store(tmp_path, ModelSettings(300, 30), found, {})
    assert ModelSettings.read(tmp_path).max_length == 300
    assert isinstance(probability_of(ModelSettings.read(tmp_path)), Fitted)


def test_what_cannot_be_fitted_is_told():
    scores, relevant, queries = drawn(lambda s: expit(s), n=100)
    with pytest.raises(ConfigError, match="folds must be at least 2, got 1"):
        calibrate(scores, relevant, queries, folds=1)
    with pytest.raises(DataError, match=r"5 folds need as many queries .* got 0; take more queries, more --depth"):
        calibrate(scores, relevant, queries)
    with pytest.raises(DataError, match=r"needs relevant and other documents .* got 0 relevant of 100"):
        platt(scores, np.zeros(100, bool))
    with pytest.raises(DataError, match=r"scores must rise with relevance, and here they fall \(slope -"):
        platt(-scores, relevant)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"scores": [1.0], "logits": []}, "needs one knot or more, each with a score and a logit, got 1 and 0"),
        ({"scores": [1.0, 1.0], "logits": [0.0, 1.0]}, r"scores must be finite and increase, got \[1.0, 1.0\]"),
        ({"scores": [0.0, 1.0], "logits": [0.0, float("nan")]}, "logits must be finite and increase"),
        ({"slope": 0.0}, "slope must be finite and above 0, got 0.0"),
    ],
)
def test_numbers_that_make_no_map_are_told(numbers, message):
    with pytest.raises(ConfigError, match=message):
        Fitted(**numbers)
    with pytest.raises(ConfigError, match=f"does not make a map of kind platt .*{message}"):
        probability_of(ModelSettings(calibration={"kind": "platt", **numbers}))
