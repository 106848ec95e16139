"""Sums and multiples, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ltr.errors import ConfigError
from ltr.links import Exp, Identity, Piecewise, Scaled, Sigmoid, Softplus, Sum, Tanh


def test_a_sum_by_hand():
    link = Sigmoid() + 0.5 * Identity()
    assert float(link(0.0)) == 0.5
    assert float(link.slope(0.0)) == 0.75
    # D_σ(2, 0) + .5 · 2²/2
    assert float(link.divergence(2.0, 0.0)) == pytest.approx(math.log((1 + math.e**2) / 2) - 1 + 1, rel=1e-14)
    assert link.range == (-math.inf, math.inf)


def test_a_multiple_by_hand():
    link = 3 * Piecewise((0.0,), (1.0, 2.0))
    assert float(link.divergence(2.0, 0.0)) == 12
    assert float(link.bregman(2.0, -1.0)) == 6
    assert float(link.inverse(12.0)) == 2
    assert float((2 * Sigmoid())(0.0)) == 1


def test_sums_and_multiples_are_kept_flat():
    a, b, c = Sigmoid(), Identity(), Exp()
    assert (a + b) + c == a + (b + c) == Sum((a, b, c)) == Sum([a, b + c])
    assert 2 * (3 * a) == Scaled(a, 6.0)
    assert repr(2 * (a + b)) == "2.0 * (Sigmoid() + Identity())"
    assert repr(Sum((a,))) == "Sum((Sigmoid(),))"
    assert float(Sum((a,)).inverse(0.5)) == 0


def test_convex_when_all_parts_are():
    assert (Exp() + 2 * Softplus() + Identity()).convex
    assert not (Exp() + Tanh()).convex


def test_two_bands_peak_at_both_centers():
    link = Sigmoid(center=-4.0, width=0.5) + 2 * Sigmoid(center=4.0, width=0.5)
    assert float(link.slope_peak(torch.tensor([0.0]))) == pytest.approx(1.0, rel=1e-5)


def test_inverse_of_a_bounded_sum():
    link = Sigmoid(center=-4.0) + Sigmoid(center=4.0)
    y = torch.tensor([0.0, 1.0, 2.0, 2.5], dtype=torch.float64)
    torch.testing.assert_close(
        link.inverse(y), torch.tensor([-math.inf, 0.0, math.inf, math.nan]).double(), equal_nan=True, atol=1e-9, rtol=0
    )
    steep = Sigmoid(width=1e-3) + Identity()
    assert float(steep.inverse(steep(123.456))) == pytest.approx(123.456, rel=1e-12)


def test_refuses():
    with pytest.raises(ConfigError, match="Scaled: factor must be positive, or the link would not increase, got -1"):
        -1 * Sigmoid()
    with pytest.raises(ConfigError, match=r"Scaled: factor must be positive, .* got 0"):
        Scaled(Sigmoid(), 0)
    with pytest.raises(ConfigError, match="Scaled: link must be a link, got 3"):
        Scaled(3, 2.0)
    with pytest.raises(ConfigError, match="Scaled: factor must be a finite number, got nan"):
        Scaled(Sigmoid(), math.nan)
    with pytest.raises(ConfigError, match=r"Sum: parts must be a list of links, got \(Sigmoid\(\), 1\)"):
        Sum((Sigmoid(), 1))
    with pytest.raises(ConfigError, match=r"Sum: parts must be a list of links, got Sigmoid\(\)"):
        Sum(Sigmoid())
    with pytest.raises(ConfigError, match="Sum: parts must hold at least one link, got none"):
        Sum(())
