"""The functions of a shape of the user's own, tried against one another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.autograd import mean_between
from ltr.links.checks import FAR, TINY, check_increasing, check_range, decreases, evaluated, grid, refuse
from ltr.links.numerics import quadrature

if TYPE_CHECKING:
    from ltr.links.shaped import ShapedLink

#: how far what two functions say may lie apart: derivatives along a step (which may hold a kink), everything else
COARSE, FINE = 0.2, 1e-6
#: ... and what is computed in float32, of which rare cases are the last three digits
SINGLE = 1e-3
#: a shape with an end is there, at the latest, where what is left of the way is this share of a further such way
SLOWEST = 1e-6
#: distances of the pairs of points that are compared, near and far
DISTANCES = (1e-3, -0.3, 0.95, -0.95, 1.05, 4.0, -30.0)


def check_shape(link: ShapedLink, base: type[ShapedLink]) -> None:
    """Refuse a shape that is no link, and functions that contradict it.

    Args:
        link: the link.
        base: what it derives from; functions that are still those of the base need not be tried.

    Raises:
        ConfigError: with the function, the place, and what it should be there.
    """
    own = {name for name in vars(base) if getattr(type(link), name) is not getattr(base, name)}
    x = grid()
    _check_value(link, x)
    _check_derivatives(link, own, x)
    _check_pairs(link, own)
    if "shape_inverse" in own:
        y = link.shape(torch.linspace(-4, 4, 33, dtype=torch.float64) + 0.0137)
        back = link.shape(evaluated(f"{link!r}: shape_inverse", link.shape_inverse, y))
        wrong = ~((back - y).abs() <= FINE * (1 + y.abs()))
        refuse(f"{link!r}: shape_inverse", "must undo shape", wrong, y, back, at="at y =")


def _check_value(link: ShapedLink, x: Tensor) -> None:
    who, at = f"{link!r}: shape", "at x ="
    values = evaluated(who, link.shape, x)
    refuse(who, f"must be finite for x up to {FAR:g} in size", ~values.isfinite(), x, values, at)
    check_increasing(who, x, values, at)
    check_range(who, link.shape_range, x, values, at)
    # from FAR to its square: a shape without an end goes on, one with an end is near it
    far = x.new_tensor([-(FAR**2), -FAR, 0.0, FAR, FAR**2])
    lowest, low, middle, high, highest = link.shape(far).tolist()
    for side, end, last, before in (("below", 0, lowest, low), ("above", 1, highest, high)):
        declared, way = link.shape_range[end], abs(before - middle)
        if math.isinf(declared) and abs(last - before) <= 1e-2 * way:
            raise ConfigError(
                f"{who} ends {side}, near {last:g}, and shape_range says {declared:g}; write shape_range = (lowest, highest)"
            )
        if math.isfinite(declared) and abs(declared - last) > 1e-2 * max(way, abs(declared - middle)):
            raise ConfigError(f"{who} must approach the end {declared:g} of its shape_range, got {last:g} far {side}")


def _check_derivatives(link: ShapedLink, own: set[str], x: Tensor) -> None:
    slopes = evaluated(f"{link!r}: shape_slope", link.shape_slope, x).detach()
    refuse(f"{link!r}: shape_slope", "must not be negative", ~(slopes >= 0), x, slopes, "at x =")
    if link.shape_convex:
        rule = "must never fall where shape_convex = True"
        refuse(f"{link!r}: shape_slope", rule, decreases(slopes), x[1:], slopes[1:], "at x =")
    if link.shape_peaks:
        peak, there = slopes.max(), link.shape_slope(x.new_tensor(link.shape_peaks)).max()
        missed = (slopes == peak) & (there < 0.9 * peak)
        refuse(f"{link!r}: shape_slope", "must peak at one of shape_peaks", missed, x, slopes, "at x =")
    step = 1e-3 * (1 + x.abs())
    pairs = [("shape_slope", "shape")]
    pairs += [("shape", "shape_primitive")] if "shape_primitive" in own else []
    pairs += [("shape_curvature", "shape_slope")] if "shape_curvature" in own and link.smooth else []
    for name, of in pairs:
        function, slope = getattr(link, of), getattr(link, name)
        before, after = (evaluated(f"{link!r}: {of}", function, z).detach() for z in (x, x + step))
        ends = [evaluated(f"{link!r}: {name}", slope, z).detach() for z in (x, x + step)]
        quotient, mean = (after - before) / step, mean_between(slope, x, step).detach()
        rounding = TINY + 1e-12 * torch.maximum(before.abs(), after.abs())
        allowed = COARSE * torch.stack(ends).abs().amax(0) + rounding / step
        wrong = ~((quotient - mean).abs() <= allowed)
        if bool(wrong.any()):
            i = int(wrong.to(torch.uint8).argmax())
            raise ConfigError(
                f"{link!r}: {name} must be the derivative of {of}; about x = {x[i]:g} it is {mean[i]:g}, and {of} rises "
                f"by {quotient[i]:g} per unit"
            )


def _check_pairs(link: ShapedLink, own: set[str]) -> None:
    """What compares two points, against adaptive quadrature."""
    y = (torch.linspace(-6, 6, 25, dtype=torch.float64) + 0.0137).repeat(len(DISTANCES))
    d = y.new_tensor(DISTANCES).repeat_interleave(25)
    x = y + d
    size = torch.maximum(link.shape(x).abs(), link.shape(y).abs())
    compared = ("shape_divergence", "shape_difference", "shape_divergence_and_difference")
    if own & {"shape_primitive", *compared}:
        divergence, difference = _expected(link, x, y, d)
        both = link.shape_divergence_and_difference(x, y, d.clone())
        for name, law, got, expected, unit in (
            (compared[0], "G(x) - G(y) - d g(y)", link.shape_divergence(x, y, d), divergence, d.abs()),
            (compared[1], "g(x) - g(y)", link.shape_difference(x, y, d), difference, 1),
            (compared[2], "shape_divergence first", both[0], divergence, d.abs()),
            (compared[2], "shape_difference second", both[1], difference, 1),
        ):
            _compare(link, name, law, x, y, got, expected, 1e-12 * size * unit)
    if link.single_precision:
        x, y = x.float(), y.float()
        divergence, difference = _expected(link, *(v.double() for v in (x, y, x - y)))
        both = link.shape_divergence_and_difference(x, y, x - y)
        laws = ("shape_divergence first, also in float32", "shape_difference second, also in float32")
        x, y = x.double(), y.double()
        _compare(link, compared[2], laws[0], x, y, both[0].double(), divergence, SINGLE * size * d.abs(), SINGLE)
        _compare(link, compared[2], laws[1], x, y, both[1].double(), difference, SINGLE * size, SINGLE)
    if link.shape_convex and own & {"shape_primitive", "shape_bregman"}:
        expected = quadrature.bregman(link.shape_slope, y, d).clamp(min=0)
        got = link.shape_bregman(x, y, d)
        _compare(link, "shape_bregman", "g(x) - g(y) - d g'(y)", x, y, got, expected, 1e-11 * (size + d.abs()))
    for upper, end in enumerate(link.shape_range):
        if "shape_boundary" not in own or math.isinf(end):
            continue
        far = torch.full_like(y, FAR if upper else -FAR)
        rest = abs(end - float(link.shape(far[:1])))
        if rest * FAR <= SLOWEST * max(1, abs(end)):  # else only the user knows
            expected = quadrature.divergence(link.shape, link.shape_slope, y, far, y - far)
            got, law = link.shape_boundary(y, bool(upper)), f"the divergence of x from {'' if upper else '-'}∞"
            _compare(link, "shape_boundary", law, y, far, got, expected, 1e-12 * FAR * max(1, abs(end)))


def _expected(link: ShapedLink, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    divergence = quadrature.divergence(link.shape, link.shape_slope, x, y, d).clamp(min=0)
    return divergence, quadrature.difference(link.shape, link.shape_slope, x, y, d)


def _compare(
    link: ShapedLink,
    name: str,
    law: str,
    x: Tensor,
    y: Tensor,
    got: Tensor,
    expected: Tensor,
    rounding: Tensor | float,
    relative: float = FINE,
) -> None:
    wrong = ~((got - expected).abs() <= relative * expected.abs() + rounding)
    if bool(wrong.any()):
        i = int(wrong.to(torch.uint8).argmax())
        raise ConfigError(
            f"{link!r}: {name} must be {law}; for x = {x[i]:g} and y = {y[i]:g} got {got[i]:.9g}, by quadrature of shape "
            f"and shape_slope {expected[i]:.9g}. Where the slope bends within one unit of x, leave shape_primitive out or "
            "define shape_divergence and shape_difference too"
        )
