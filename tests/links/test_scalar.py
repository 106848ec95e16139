"""Golden values of the shaped links, and values worked by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from ltr.errors import ConfigError
from ltr.links import Asinh, Exp, Identity, ReverseExp, Sigmoid, Sinh, Softplus, Tanh

GOLD = json.loads((Path(__file__).parents[1] / "gold" / "losses.json").read_text())["links"]
CLASSES = {
    "identity": Identity,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "asinh": Asinh,
    "sinh": Sinh,
    "exp": Exp,
    "reverse_exp": ReverseExp,
}
SHAPED = [*CLASSES.values(), Softplus]


@pytest.mark.parametrize("case", GOLD, ids=lambda c: f"{c['link']}-{c['center']}")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_golden_values(case, dtype):
    tail = {"tail": case["tail"]} if "tail" in case else {}
    link = CLASSES[case["link"]](case["center"], case["width"], case["scale"], **tail)
    pred = torch.tensor(case["pred"], dtype=dtype, requires_grad=True)
    loss = link.divergence(pred, torch.tensor(case["target"], dtype=dtype))
    (gradient,) = torch.autograd.grad(loss.sum(), pred)
    got = {"loss": loss, "grad_pred": gradient, "link_at_pred": link(pred), "slope_at_pred": link.slope(pred)}
    for name, values in got.items():
        gold = torch.tensor(case[name], dtype=torch.float64)
        relative, share = (1e-9, 0) if dtype == torch.float64 else (1e-5, 1e-6)
        torch.testing.assert_close(values.detach().double(), gold, rtol=relative, atol=share * float(gold.abs().max()))


def test_sigmoid_by_hand():
    # D(x, 0) = log((1 + eˣ)/2) - x/2
    assert float(Sigmoid().divergence(2.0, 0.0)) == pytest.approx(math.log((1 + math.e**2) / 2) - 1, rel=1e-14)
    # h = 4 σ((z - 2)/0.5): slope at the center 4/(4 · 0.5)
    assert float(Sigmoid(2.0, 0.5, 4.0).slope(2.0)) == pytest.approx(2)
    # far below a high center a sigmoid is blind, above a low one too
    assert float(Sigmoid(center=10.0).divergence(-10.0, -12.0)) < 1e-8
    assert float(Sigmoid(center=-10.0).divergence(12.0, 10.0)) < 1e-8


def test_tanh_by_hand():
    assert float(Tanh().divergence(1.0, 0.0)) == pytest.approx(math.log(math.cosh(1)), rel=1e-14)
    assert float(Tanh().slope(1.0)) == pytest.approx(1 / math.cosh(1) ** 2, rel=1e-14)


@pytest.mark.parametrize("x", [1e4, 9e3, 8001.0, 8000.25, -7990.0, 3.0])
def test_asinh_far_out_where_the_definition_cancels(x):
    # for large y, asinh ≈ log 2z + 1/(4z²): D ≈ x log(x/y) - (x - y) on the same side, less than 1e-8 off
    y = 8000.0
    if x < 100:
        expected = x * math.asinh(x) - math.hypot(1, x) - y * math.asinh(y) + math.hypot(1, y) - (x - y) * math.asinh(y)
    else:
        expected = x * math.log1p((x - y) / y) - (x - y)
    if x > 0:
        assert float(Asinh().divergence(x, y)) == pytest.approx(expected, rel=1e-6)
    # mirrored
    assert float(Asinh().divergence(-x, -y)) == pytest.approx(float(Asinh().divergence(x, y)), rel=1e-14)


def test_softplus_by_hand():
    link = Softplus()
    assert float(link(0.0)) == pytest.approx(math.log(2), rel=1e-15)
    # -Li₂(-1) = π²/12, and F(x) + F(-x) = x²/2 + π²/6
    assert float(link.primitive(0.0)) == pytest.approx(math.pi**2 / 12, rel=1e-15)
    # -Li₂(-e⁻³) = Σ (-1)ᵏ⁺¹ e⁻³ᵏ/k²
    series = math.fsum((-1) ** (k + 1) * math.exp(-3 * k) / k**2 for k in range(1, 40))
    assert float(link.primitive(-3.0)) == pytest.approx(series, rel=1e-14)
    assert float(link.primitive(3.0)) == pytest.approx(4.5 + math.pi**2 / 6 - series, rel=1e-14)
    # far above the center it is the identity: half the squared error, exactly
    assert float(link.divergence(9998.5, 9997.0)) == pytest.approx(1.125, rel=1e-12)
    # D(3, 0) = F(3) - F(0) - 3 log 2
    expected = float(link.primitive(3.0)) - math.pi**2 / 12 - 3 * math.log(2)
    assert float(link.divergence(3.0, 0.0)) == pytest.approx(expected, rel=1e-13)
    assert float(link.inverse(800.0)) == 800.0


@pytest.mark.parametrize("kind", SHAPED)
def test_repr_names_only_what_was_chosen(kind):
    assert repr(kind()) == f"{kind.__name__}()"
    assert repr(kind(center=2, scale=0.5)) == f"{kind.__name__}(center=2.0, scale=0.5)"


@pytest.mark.parametrize("kind", SHAPED)
@pytest.mark.parametrize("name", ["width", "scale"])
@pytest.mark.parametrize("value", [0, -1.5])
def test_refuses_a_width_or_scale_that_is_not_positive(kind, name, value):
    with pytest.raises(ConfigError, match=rf"{kind.__name__}: {name} must be positive, got {value}"):
        kind(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, "2", None, True])
def test_refuses_what_is_not_a_finite_number(value):
    with pytest.raises(ConfigError, match="Sigmoid: center must be a finite number, got"):
        Sigmoid(center=value)


def test_ranges():
    assert Sigmoid(scale=2.0).range == (0.0, 2.0)
    assert Tanh(scale=2.0).range == (-2.0, 2.0)
    assert Softplus().range == (0.0, math.inf)
    assert Identity().range == Asinh().range == Sinh().range == (-math.inf, math.inf)
    assert Exp().range == (0.0, math.inf)
    assert ReverseExp().range == (-math.inf, 0.0)


def test_boundary_of_the_sigmoid_is_the_logistic_loss():
    z = torch.tensor([-1e4, -3.0, 0.0, 3.0, 20.0, 1e4], requires_grad=True)
    link = Sigmoid(center=1.0, width=2.0, scale=3.0)
    value = link.boundary(z, upper=True)
    expected = 6 * torch.nn.functional.softplus(-(z.detach().double() - 1) / 2, threshold=1000)
    torch.testing.assert_close(value.detach().double(), expected, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    # also where h is so near its end that float32 could not tell: -3 σ(-9.5)
    assert float(gradient[4]) == pytest.approx(-3 / (1 + math.exp(9.5)), rel=1e-6)
