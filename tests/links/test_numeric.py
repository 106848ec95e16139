"""Links from any function, against the same links written out."""

from __future__ import annotations

import math
import pickle

import pytest
import torch

from ltr.errors import ConfigError
from ltr.links import Asinh, Numeric, Piecewise, Sigmoid, Softplus


def cubic(z: torch.Tensor) -> torch.Tensor:
    return z**3


def ramp(z: torch.Tensor) -> torch.Tensor:
    return z.clamp(0.0, 1.0)


def softplus(z: torch.Tensor) -> torch.Tensor:
    return torch.logaddexp(z, torch.zeros_like(z))


def dips_between_grid_points(z: torch.Tensor) -> torch.Tensor:
    return z - 40 * torch.exp(-(((z - 301.2) / 0.05) ** 2))


@pytest.mark.parametrize(
    ("numeric", "written", "accuracy"),
    [
        (Numeric("torch:asinh"), Asinh(), 1e-9),
        (Numeric("torch:sigmoid", low=0.0, high=1.0), Sigmoid(), 1e-9),
        (Numeric(softplus, convex=True, low=0.0), Softplus(), 1e-9),
        # a kink at the very end of a piece is seen by neither rule
        (Numeric(ramp, low=0.0, high=1.0), Piecewise((0.0, 1.0), (0.0, 1.0, 0.0)), 1e-5),
    ],
    ids=["asinh", "sigmoid", "softplus", "ramp"],
)
def test_agrees_with_the_same_link_written_out(numeric, written, accuracy):
    torch.manual_seed(0)
    target = torch.randn(300, dtype=torch.float64) * 3
    pred = target + torch.tensor([10.0, 1e-1, 1e-3]).double().repeat(100) * torch.randn(300, dtype=torch.float64)
    pred = torch.cat([pred, torch.tensor([1e4, -1e4, 1e4, 0.3])])
    target = torch.cat([target, torch.tensor([-1e4, 1e4, 3.0, -1e4])])
    size = torch.maximum(written(pred).abs(), written(target).abs())
    exact = written.divergence(pred, target)
    assert (
        (numeric.divergence(pred, target) - exact).abs() <= accuracy * exact + 1e-15 * size * (pred - target).abs()
    ).all()
    exact = written.difference(pred, target)
    assert ((numeric.difference(pred, target) - exact).abs() <= accuracy * exact.abs() + 1e-15 * size).all()
    torch.testing.assert_close(numeric.slope(pred), written.slope(pred), rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(
        numeric.primitive(pred) - numeric.primitive(torch.zeros_like(pred)),
        written.primitive(pred) - written.primitive(torch.zeros_like(pred)),
        rtol=accuracy,
        atol=accuracy,
    )
    if numeric.convex:
        torch.testing.assert_close(numeric.bregman(pred, target), written.bregman(pred, target), rtol=1e-8, atol=1e-12)


def test_cubic_by_hand():
    # D(x, y) = x⁴/4 - y⁴/4 - (x - y) y³
    assert float(Numeric(cubic).divergence(2.0, 1.0)) == pytest.approx(4 - 0.25 - 1, rel=1e-12)
    assert float(Numeric(cubic).inverse(27.0)) == pytest.approx(3.0, rel=1e-12)
    assert float(Numeric(cubic).curvature(2.0)) == pytest.approx(12.0)


def test_an_importable_function_makes_a_value_and_a_lambda_says_that_it_does_not():
    link = Numeric(cubic)
    assert link == Numeric(f"{__name__}:cubic")
    assert link.function == f"{__name__}:cubic"
    assert repr(link) == f"Numeric('{__name__}:cubic')"
    assert repr(Numeric(torch.asinh)) == "Numeric('torch:asinh')"
    assert float(Numeric("torch.asinh")(2.0)) == math.asinh(2)
    local = Numeric(lambda z: 2 * z, convex=True)
    assert "not reproducible: " in repr(local)
    assert "test_numeric.py" in repr(local)
    assert float(local.divergence(3.0, 1.0)) == pytest.approx(4.0)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(local)


@pytest.mark.parametrize(
    ("function", "options", "sentence"),
    [
        (lambda z: -z, {}, "must increase: a link that falls has no matching loss; at score"),
        ("torch:sin", {}, "must increase"),
        (lambda z: z * 0 + 1, {}, "must increase somewhere, got 1 everywhere"),
        (torch.sqrt, {}, "must be defined for every score; at score -9965.19 got nan"),
        (torch.sigmoid, {"high": 0.5}, r"must stay in its declared range \[-inf, 0.5\]; at score"),
        (torch.asinh, {"convex": True}, "was declared convex, so its slope must never fall; at score"),
        (lambda z: z.detach(), {}, "must use torch operations that autograd can follow"),
        (lambda z: z.sum(), {}, r"must return a tensor like its input, float64 \[2001\], got torch.float64 \[\]"),
        (lambda z: 3, {}, "must return a tensor like its input, .* got int"),
        ("torch:asnih", {}, "no function 'asnih' in torch; did you mean 'asinh'?"),
        ("torhc:asinh", {}, "'torhc:asinh' names no module"),
        ("asinh", {}, "'asinh' names no module"),
        ("math:pi", {}, "'math:pi' must be a function, got float"),
        ("os:fspath", {}, "function must take a float64 tensor of scores, it raised TypeError: expected str"),
        (3, {}, "function must be callable or an import path, got 3"),
    ],
)
def test_refuses(function, options, sentence):
    with pytest.raises(ConfigError, match=f"Numeric.*{sentence}"):
        Numeric(function, **options)


def test_a_dip_that_the_first_look_missed_is_found_in_use():
    link = Numeric(dips_between_grid_points)
    with pytest.raises(ConfigError, match=r"must increase; at score 301\.2 got -"):
        link.divergence(301.2, 300.9)


def test_a_slope_that_autograd_cannot_find_is_refused():
    with pytest.raises(ConfigError, match="must have a slope that autograd finds; at score 0 got nan"):
        Numeric(lambda z: z.sign() * z.abs().sqrt())


def test_rounding_of_a_saturated_function_makes_no_negative_divergence():
    link, scores = Numeric("torch:tanh", low=-1.0, high=1.0), torch.linspace(15, 20, 83).double()
    assert (link.divergence(scores[:, None], scores) >= 0).all()


def test_range_is_what_was_declared():
    assert Numeric(torch.sigmoid, low=0, high=1).range == (0.0, 1.0)
    assert Numeric(torch.asinh).range == (-math.inf, math.inf)
