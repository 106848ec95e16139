"""Piecewise linear links, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ltr.errors import ConfigError
from ltr.links import Identity, Piecewise, Sigmoid

LINK = Piecewise(knots=[1, 3], slopes=[0.5, 2, 1])


def test_values_by_hand():
    z = torch.tensor([-1.0, 1.0, 2.0, 3.0, 5.0], dtype=torch.float64)
    assert LINK(z).tolist() == [-1.0, 0.0, 2.0, 4.0, 6.0]
    assert LINK.slope(z).tolist() == [0.5, 2.0, 2.0, 1.0, 1.0]
    # areas from the first knot: a triangle .5·2²/2 below, 2·1²/2, 2·2²/2, and 4 + 4·2 + 2²/2
    assert LINK.primitive(z).tolist() == [1.0, 0.0, 1.0, 4.0, 14.0]
    assert LINK.inverse(LINK(z)).tolist() == z.tolist()


def test_divergence_by_hand():
    # from -1 to 5 above the level h(-1) = -1: ∫h = -1 + 14, and 6 · 1
    assert float(LINK.divergence(5.0, -1.0)) == 14 - 1 + 6
    # the other way, below the level h(5) = 6
    assert float(LINK.divergence(-1.0, 5.0)) == 36 - (14 - 1)
    assert float(LINK.difference(5.0, -1.0)) == 7


def test_near_differences_far_out_are_exact():
    target = torch.tensor([10000.0], dtype=torch.float64)
    assert float(LINK.divergence(target + 2**-20, target)) == 2**-41


def test_bregman_by_hand():
    link = Piecewise(knots=[0, 1], slopes=[0, 1, 3])
    # f(2) = 4 over the tangent 0 at -1; f(-1) = 0 over the tangent 4 + 3 (z - 2) at 2
    assert float(link.bregman(2.0, -1.0)) == 4
    assert float(link.bregman(-1.0, 2.0)) == 5
    assert float(link.bregman(3.0, 2.0)) == 0


def test_flat_regions():
    link = Piecewise(knots=[0, 1, 2, 4], slopes=[0, 1, 0, 2, 0])
    assert link.range == (0.0, 5.0)
    y = torch.tensor([-0.1, 0.0, 0.5, 1.0, 3.0, 5.0, 5.1], dtype=torch.float64)
    # flat from 1 to 2: the knot below
    torch.testing.assert_close(
        link.inverse(y), torch.tensor([math.nan, 0.0, 0.5, 1.0, 3.0, 4.0, math.nan]).double(), equal_nan=True
    )
    assert float(link.divergence(1.9, 1.1)) == 0
    assert float(link.divergence(-7.0, 0.0)) == 0


def test_range_and_convexity_follow_from_the_slopes():
    assert LINK.range == (-math.inf, math.inf)
    assert not LINK.convex
    rising = Piecewise((0.0,), (0.0, 1.0))
    assert rising.convex
    assert rising.range == (0.0, math.inf)


@pytest.mark.parametrize(
    ("knots", "slopes", "sentence"),
    [
        ([], [1], "knots must be at least one score, each above the last"),
        ([1, 0], [1, 1, 1], r"each above the last, got \[1.0, 0.0\]"),
        ([0, 0], [1, 1, 1], "each above the last"),
        ([0, 1], [1, 1], r"slopes must be one more than knots \(below, between, above\): 3, got 2"),
        ([0], [1, -0.5], r"slopes must not be negative and not all 0, got \[1.0, -0.5\]"),
        ([0], [0, 0], "not all 0"),
        ([0], [1, math.inf], "each of slopes must be a finite number, got inf"),
        ("0", [1, 1], "knots must be a list of numbers, got '0'"),
    ],
)
def test_refuses(knots, slopes, sentence):
    with pytest.raises(ConfigError, match=f"Piecewise: .*{sentence}"):
        Piecewise(knots, slopes)


def test_boundary_is_reached_at_the_knots():
    link = Piecewise((0.0, 1.0), (0.0, 1.0, 0.0))
    assert float(link.boundary(-1.0, upper=True)) == 1.5
    assert float(link.boundary(0.5, upper=False)) == 0.125


def test_a_slope_that_jumps_is_not_smooth():
    bent = Piecewise([0.0], [0.1, 1.0])
    assert not bent.smooth
    assert not (bent + Sigmoid()).smooth
    assert not (2.0 * bent).smooth
    assert Piecewise([0.0], [1.0, 1.0]).smooth
    assert (Sigmoid() + 0.1 * Identity()).smooth
