"""Tangent tails, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ltr.errors import ConfigError
from ltr.links import Exp, ReverseExp, Sinh

E2 = math.exp(2)


def test_exp_goes_on_as_its_tangent():
    link = Exp(tail=2.0)
    assert float(link(5.0)) == pytest.approx(E2 * (1 + 3), rel=1e-14)
    assert float(link.slope(5.0)) == pytest.approx(E2, rel=1e-14)
    assert float(link.curvature(5.0)) == 0
    # H continues as the parabola e² (1 + u + u²/2), u = 3
    assert float(link.primitive(5.0)) == pytest.approx(E2 * (1 + 3 + 4.5), rel=1e-14)
    assert float(link.inverse(4 * E2)) == pytest.approx(5.0, rel=1e-14)


def test_divergence_across_the_tail_is_the_sum_of_its_parts():
    # D(5, 0) = D(5, 2) + D(2, 0) + (5 - 2)(h(2) - h(0)); D(5, 2) = e² 3²/2; D(2, 0) = e² - 1 - 2
    expected = E2 * 4.5 + (E2 - 3) + 3 * (E2 - 1)
    assert float(Exp(tail=2.0).divergence(5.0, 0.0)) == pytest.approx(expected, rel=1e-14)
    # D(0, 5) = ∫ from 0 to 5 of h(5) - h(z) = 5 · 4e² - (H(5) - H(0))
    assert float(Exp(tail=2.0).divergence(0.0, 5.0)) == pytest.approx(20 * E2 - (8.5 * E2 - 1), rel=1e-14)
    # both beyond: half the squared error at the tail's slope
    assert float(Exp(tail=2.0).divergence(5.0, 9.0)) == pytest.approx(E2 * 8, rel=1e-14)


def test_width_and_scale_stretch_the_tail():
    # x = (7 - 1)/2 = 3, y = 0.5: a w D_g(3, .5)
    inner = Exp(tail=2.0).divergence(3.0, 0.5)
    assert float(Exp(1.0, 2.0, 0.3, tail=2.0).divergence(7.0, 2.0)) == pytest.approx(0.6 * float(inner), rel=1e-14)


def test_sinh_has_tails_on_both_sides():
    link = Sinh(tail=1.0)
    slope = math.cosh(1)
    assert float(link(-4.0)) == pytest.approx(-math.sinh(1) - 3 * slope, rel=1e-14)
    # from -3 to 3: ∫ (h(z) - h(-3)) dz = -6 h(-3), as h is odd
    assert float(link.divergence(3.0, -3.0)) == pytest.approx(6 * (math.sinh(1) + 2 * slope), rel=1e-14)
    assert float(link.inverse(link(-4.0))) == pytest.approx(-4.0, rel=1e-14)


def test_reverse_exp_mirrors_exp():
    z = torch.linspace(-6, 6, 13, dtype=torch.float64)
    forward, back = Exp(tail=3.0), ReverseExp(tail=3.0)
    assert torch.equal(back(z), -forward(-z))
    assert torch.equal(back.divergence(z, z.flip(0)), forward.divergence(-z, -z.flip(0)))
    assert torch.equal(back.slope(z), forward.slope(-z))
    assert torch.equal(back.primitive(z), forward.primitive(-z))


def test_bregman_of_exp_beyond_its_tail():
    link = Exp(tail=2.0)
    assert float(link.bregman(7.0, 3.0)) == 0, "a straight line lies on its tangent"
    # f(5) - f(0) - 5 f'(0)
    assert float(link.bregman(5.0, 0.0)) == pytest.approx(4 * E2 - 1 - 5, rel=1e-14)
    # f(0) - f(5) + 5 f'(5)
    assert float(link.bregman(0.0, 5.0)) == pytest.approx(1 - 4 * E2 + 5 * E2, rel=1e-13)


@pytest.mark.parametrize("kind", [Exp, ReverseExp, Sinh])
def test_refuses_an_impossible_tail(kind):
    with pytest.raises(ConfigError, match=rf"{kind.__name__}: tail must be positive, got 0"):
        kind(tail=0)
    with pytest.raises(
        ConfigError, match=rf"{kind.__name__}: tail must be at most 50 widths, or results overflow, got 51"
    ):
        kind(tail=51)
    ends = torch.tensor([1e4, -1e4], requires_grad=True)
    value = kind(tail=50.0).divergence(ends, ends.detach().flip(0))
    assert value.isfinite().all()
