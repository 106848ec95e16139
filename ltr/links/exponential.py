"""The links that grow exponentially."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr.links.autograd import area_between
from ltr.links.growing import Growing
from ltr.links.mirrored import Mirrored

#: u + e⁻ᵘ - 1 = u² (c₀ + c₁ u + …) up to the first number, to 1e-7 of itself (Chebyshev); the c follow
NEAR = (0.25, 0.49999996, -0.16666163, 0.04156512, -0.00767247)


@dataclass(frozen=True, repr=False)
class Sinh(Growing):
    """h = sinh x: sensitive far from the center on both sides; with the center far below the data, at high scores.

    Args:
        center: score of the least steep point.
        width: score units per unit of x, > 0.
        scale: factor, > 0.
        tail: the link is a straight line where |x| > tail, in widths, > 0.

    >>> float(Sinh().slope(0.0))
    1.0
    """

    _two_sided = True
    unfocused = "Sinh is steep on both sides of its center, not in one range"

    @property
    def _end_slope(self) -> float:
        return math.cosh(self.tail)

    def _inner_shape(self, x: Tensor) -> Tensor:
        return torch.sinh(x)

    def _inner_primitive(self, x: Tensor) -> Tensor:
        return torch.cosh(x)

    def _inner_slope(self, x: Tensor) -> Tensor:
        return torch.cosh(x)

    def _inner_curvature(self, x: Tensor) -> Tensor:
        return torch.sinh(x)

    def _inner_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return 2 * torch.cosh(y + d / 2) * torch.sinh(d / 2)

    def _inner_far_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return torch.cosh(x) - torch.cosh(y) - d * torch.sinh(y)

    def _inner_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        # half of what eˣ and -e⁻ˣ make; where one goes up, the other goes down
        drop, rising, both_ways = _over_larger(d)
        high, low = torch.maximum(x, y).exp_(), torch.minimum(x, y).neg_().exp_()
        difference = drop.mul_(high + low).mul_(0.5).copysign_(d)
        falling = both_ways.sub_(rising)
        return rising.mul_(high).addcmul_(falling, low).mul_(0.5), difference

    def _inner_inverse(self, v: Tensor) -> Tensor:
        return torch.asinh(v)


@dataclass(frozen=True, repr=False)
class Exp(Growing):
    """h = eˣ: sensitive at high scores, the more the higher; convex, so it serves composite losses.

    ``focus(range=(a, b))`` puts the center at b and takes width = (b - a) / log 2: the slope is half at a of what it is
    at b, halves again with every further b - a downwards, and goes on rising above b.

    Args:
        center: score where h = scale.
        width: score units in which the slope grows e-fold, > 0.
        scale: factor, > 0.
        tail: the link is a straight line where x > tail, in widths, > 0.

    >>> float(Exp(scale=2.0)(0.0))
    2.0
    """

    shape_range = (0.0, math.inf)
    shape_convex = True

    @property
    def _end_slope(self) -> float:
        return math.exp(self.tail)

    def _inner_shape(self, x: Tensor) -> Tensor:
        return torch.exp(x)

    _inner_primitive = _inner_slope = _inner_curvature = _inner_shape

    def shape_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if bool(x.amax() <= self.tail) if x.numel() else True:
            slope = torch.exp(x)
            return slope, slope
        inside = x.clamp(max=self.tail)
        beyond = x - inside
        slope = inside.exp_()
        return torch.addcmul(slope, beyond, slope), slope

    def _inner_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return -d.sign() * torch.exp(torch.maximum(x, y)) * torch.expm1(-d.abs())

    def _inner_far_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return torch.exp(x) - (1 + d) * torch.exp(y)

    def _inner_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        drop, divergence, _ = _over_larger(d)
        high = torch.maximum(x, y).exp_()
        return divergence.mul_(high), drop.mul_(high).copysign_(d)

    def _inner_inverse(self, v: Tensor) -> Tensor:
        return torch.log(v)

    def shape_boundary(self, x: Tensor, upper: bool) -> Tensor:
        return self.shape_primitive(x)

    def shape_bregman(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        a, b, inside = self._clipped(x, y, d)
        near = inside * inside * area_between(self._inner_curvature, b, inside)
        total = torch.where(inside.abs() <= 1, near, self._inner_far_divergence(a, b, inside))
        # beyond the tail the slope stands still: what lies above the target's tangent grows as a line
        return total + (x - a) * self._inner_difference(a, b, inside)

    @classmethod
    def focused(cls, low: float, high: float, scale: float) -> Exp:
        return cls(high, (high - low) / math.log(2), scale)


@dataclass(frozen=True, repr=False)
class ReverseExp(Mirrored, Growing):
    """h = -e⁻ˣ: sensitive at low scores, the more the lower; ``Exp`` mirrored.

    ``focus(range=(a, b))`` puts the center at a and takes width = (b - a) / log 2: the slope is half at b of what it is
    at a, and goes on rising below a.

    Args:
        center: score where h = -scale.
        width: score units in which the slope falls e-fold, > 0.
        scale: factor, > 0.
        tail: the link is a straight line where x < -tail, in widths, > 0.

    >>> float(ReverseExp()(0.0))
    -1.0
    """

    shape_range = (-math.inf, 0.0)

    @property
    def mirror(self) -> Exp:
        return Exp(tail=self.tail)

    @classmethod
    def focused(cls, low: float, high: float, scale: float) -> ReverseExp:
        return cls(low, (high - low) / math.log(2), scale)


def _over_larger(d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What eˣ and eʸ make over the larger of them, in float32: -|difference|, divergence, and divergence of both ways.

    With u = |d| these are e⁻ᵘ - 1; v = u + e⁻ᵘ - 1 to the higher target, or u (1 - e⁻ᵘ) - v to the lower; and their sum.
    """
    u = d.abs()
    near = (u * NEAR[-1]).add_(NEAR[-2])
    for coefficient in NEAR[-3:0:-1]:
        near.mul_(u).add_(coefficient)
    near.mul_(u).mul_(u)
    # without expm1, for which torch's compiler for processors writes exp(x) - 1
    close, far = u <= NEAR[0], u.neg().exp_().sub_(1)
    drop, to_higher = torch.where(close, near - u, far), torch.where(close, near, far + u)
    both_ways = u.mul_(drop).neg_()
    divergence = torch.where(d > 0, both_ways - to_higher, to_higher)
    return drop, divergence, both_ways
