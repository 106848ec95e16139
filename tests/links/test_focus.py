"""Steep regions put where the user says, from Python and from YAML."""

from __future__ import annotations

import jsonargparse
import pytest
import torch

from ltr.errors import ConfigError
from ltr.links import (
    Asinh,
    Exp,
    Identity,
    Link,
    Numeric,
    Piecewise,
    ReverseExp,
    Scaled,
    Sigmoid,
    Sinh,
    Softplus,
    Sum,
    Tanh,
)

PEAKED = [Sigmoid, Tanh, Asinh]


@pytest.mark.parametrize("kind", PEAKED)
def test_slope_is_half_its_peak_at_the_ends_of_the_range(kind):
    link = kind.focus(range=(1.0, 4.0), scale=3.0)
    slopes = link.slope(torch.tensor([1.0, 2.5, 4.0], dtype=torch.float64))
    torch.testing.assert_close(slopes / slopes[1], torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64))
    assert link.scale == 3


def test_exp_halves_over_the_range():
    assert float(Exp.focus(range=(1.0, 4.0)).slope(1.0)) == pytest.approx(
        0.5 * float(Exp.focus(range=(1, 4)).slope(4.0))
    )
    link = ReverseExp.focus(range=(1.0, 4.0))
    assert float(link.slope(4.0)) == pytest.approx(0.5 * float(link.slope(1.0)))


def test_softplus_rises_over_the_range():
    link = Softplus.focus(range=(1.0, 4.0))
    limit = link.scale / link.width
    assert float(link.slope(1.0)) == pytest.approx(0.5 * limit)
    assert float(link.slope(4.0)) == pytest.approx(0.95 * limit)


def test_piecewise_takes_the_range_as_its_knots():
    assert Piecewise.focus(range=(1, 4), scale=2.0) == Piecewise((1.0, 4.0), (0.2, 2.0, 0.2))


def test_top_and_bottom_of_a_sample():
    scores = [3.0, 0.0, 10.0, 1.0, 2.0, 8.0]  # quantiles .8 and .2: 8 and 1
    assert Sigmoid.focus(scores=scores, top=0.2) == Sigmoid.focus(range=(8, 10))
    assert ReverseExp.focus(scores=torch.tensor(scores), bottom=0.2) == ReverseExp.focus(range=(0, 1))
    # between two scores: quantile .9 lies halfway between 8 and 10
    assert Sigmoid.focus(scores=scores, top=0.1) == Sigmoid.focus(range=(9, 10))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, r"give either range=\(low, high\), or scores= with top= or bottom="),
        ({"range": (0, 1), "scores": [0, 1]}, "give either range="),
        ({"range": (0, 1), "top": 0.2}, "with range= leave them out"),
        ({"range": (1, 0)}, r"range must be two finite scores with low < high, got \(1.0, 0.0\)"),
        ({"range": (0, float("inf"))}, "range must be two finite scores"),
        ({"range": (0, 1, 2)}, r"range must be two scores \(low, high\), got \(0, 1, 2\)"),
        ({"scores": [0, 1]}, "give one of top= and bottom="),
        ({"scores": [0, 1], "top": 0.1, "bottom": 0.1}, "give one of top= and bottom="),
        ({"scores": [0, 1], "top": 20}, "shares between 0 and 1, got 20; 0.2 means 20 %"),
        ({"scores": [], "top": 0.2}, "scores must be finite and at least one, got none"),
        ({"scores": [0, float("nan")], "top": 0.2}, "scores must be finite and at least one, got nan or inf among 2"),
        (
            {"scores": [1, 2, 2, 2], "top": 0.5},
            "the top 0.5 of the 4 scores must spread over a range, all of them are 2",
        ),
    ],
)
def test_refuses(options, sentence):
    with pytest.raises(ConfigError, match=f"Sigmoid.focus: .*{sentence}"):
        Sigmoid.focus(**options)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Identity, "Identity is equally steep everywhere"),
        (Sinh, "Sinh is steep on both sides of its center"),
        (Numeric, "its function stands where it stands"),
        (Sum, "focus each part"),
        (Scaled, "focus the link inside and scale that"),
    ],
)
def test_refuses_where_it_makes_no_sense(kind, reason):
    with pytest.raises(ConfigError, match=rf"{kind.__name__}.focus: .*{reason}.*; use Sigmoid, Tanh, Asinh"):
        kind.focus(range=(0, 1))


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("{class_path: ltr.links.Sigmoid, init_args: {center: 2}}", Sigmoid(center=2)),
        ("{class_path: ltr.links.Sigmoid.focus, init_args: {range: [1, 3]}}", Sigmoid.focus(range=(1, 3))),
        (
            "{class_path: ltr.links.Exp.focus, init_args: {scores: [0, 1, 2, 4, 5], top: 0.5}}",
            Exp.focus(range=(2, 5)),
        ),
        (
            "{class_path: ltr.links.Piecewise, init_args: {knots: [0, 1], slopes: [0, 1, 0.5]}}",
            Piecewise((0, 1), (0, 1, 0.5)),
        ),
        ("{class_path: ltr.links.Numeric, init_args: {function: 'torch:asinh'}}", Numeric("torch:asinh")),
        (
            "{class_path: ltr.links.Sum, init_args: {parts: [{class_path: ltr.links.Sigmoid}, {class_path: "
            "ltr.links.Scaled, init_args: {factor: 0.1, link: {class_path: ltr.links.Identity}}}]}}",
            Sigmoid() + 0.1 * Identity(),
        ),
    ],
)
def test_links_come_from_yaml_and_survive_being_saved(yaml, expected):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--link", type=Link)
    config = parser.parse_string(f"link: {yaml}")
    assert parser.instantiate(config).link == expected
    again = parser.parse_string(parser.dump(config))
    assert parser.instantiate(again).link == expected
