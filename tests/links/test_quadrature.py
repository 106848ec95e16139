"""Adaptive quadrature of many integrals at once."""

from __future__ import annotations

import math

import pytest
import torch

from ltr.links.numerics.quadrature import integrate

LIKE = torch.zeros(0, dtype=torch.float64)


def test_each_function_gets_its_own_integral():
    powers = torch.tensor([0.0, 1.0, 2.0, 0.5], dtype=torch.float64)
    result = integrate(lambda t, which: t ** powers[which], 4, LIKE)
    torch.testing.assert_close(result, 1 / (powers + 1), rtol=1e-9, atol=0)


def test_finds_a_narrow_step_and_a_kink():
    step = integrate(lambda t, which: torch.sigmoid((t - 0.3) * 1e6), 1, LIKE)
    assert float(step) == pytest.approx(0.7, rel=1e-10)
    kink = integrate(lambda t, which: (t - 1 / math.pi).abs(), 1, LIKE)
    assert float(kink) == pytest.approx((1 / math.pi**2 + (1 - 1 / math.pi) ** 2) / 2, rel=1e-10)


def test_a_jump_ends_at_the_deepest_level():
    assert float(integrate(lambda t, which: (t > 1 / 3).double(), 1, LIKE)) == pytest.approx(2 / 3, rel=1e-9)


def test_takes_no_integrals_and_passes_on_what_is_not_finite():
    assert integrate(lambda t, which: t + which, 0, LIKE).shape == (0,)
    assert integrate(lambda t, which: t * math.inf, 1, LIKE).isinf()
