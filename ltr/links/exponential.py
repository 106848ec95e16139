"""The links that grow exponentially."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr.links.autograd import area_between
from ltr.links.growing import Growing

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
    _unfocused = "Sinh is steep on both sides of its center, not in one range"

    @property
    def _end_slope(self) -> float:
        return math.cosh(self.tail)

    def _inner(self, x: Tensor) -> Tensor:
        return torch.sinh(x)

    def _inner_area(self, x: Tensor) -> Tensor:
        return torch.cosh(x)

    def _inner_steep(self, x: Tensor) -> Tensor:
        return torch.cosh(x)

    def _inner_bend(self, x: Tensor) -> Tensor:
        return torch.sinh(x)

    def _inner_rise(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return 2 * torch.cosh(y + d / 2) * torch.sinh(d / 2)

    def _inner_far_apart(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return torch.cosh(x) - torch.cosh(y) - d * torch.sinh(y)

    def _inner_both(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        # half of what eˣ and -e⁻ˣ make; where one goes up, the other goes down
        fall, up, both = _way_up(d)
        high, low = torch.maximum(x, y).exp_(), torch.minimum(x, y).neg_().exp_()
        rise = fall.mul_(high + low).mul_(0.5).copysign_(d)
        down = both.sub_(up)
        return up.mul_(high).addcmul_(down, low).mul_(0.5), rise

    def _inner_solve(self, v: Tensor) -> Tensor:
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

    _limits = (0.0, math.inf)
    _rising = True

    @property
    def _end_slope(self) -> float:
        return math.exp(self.tail)

    def _inner(self, x: Tensor) -> Tensor:
        return torch.exp(x)

    _inner_area = _inner_steep = _inner_bend = _inner

    def _inner_rise(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return -d.sign() * torch.exp(torch.maximum(x, y)) * torch.expm1(-d.abs())

    def _inner_far_apart(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return torch.exp(x) - (1 + d) * torch.exp(y)

    def _inner_both(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        fall, up, _ = _way_up(d)
        high = torch.maximum(x, y).exp_()
        return up.mul_(high), fall.mul_(high).copysign_(d)

    def _inner_solve(self, v: Tensor) -> Tensor:
        return torch.log(v)

    def _beyond(self, x: Tensor, upper: bool) -> Tensor:
        return self._area(x)

    def _above_tangent(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        a, b, inside = self._clipped(x, y, d)
        near = inside * inside * area_between(self._inner_bend, b, inside)
        total = torch.where(inside.abs() <= 1, near, self._inner_far_apart(a, b, inside))
        # beyond the tail the slope stands still: what lies above the target's tangent grows as a line
        return total + (x - a) * self._inner_rise(a, b, inside)

    @classmethod
    def _focused(cls, low: float, high: float, scale: float) -> Exp:
        return cls(high, (high - low) / math.log(2), scale)


@dataclass(frozen=True, repr=False)
class ReverseExp(Growing):
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

    _limits = (-math.inf, 0.0)

    @property
    def _mirror(self) -> Exp:
        return Exp(tail=self.tail)

    def _g(self, x: Tensor) -> Tensor:
        return -self._mirror._g(-x)

    def _area(self, x: Tensor) -> Tensor:
        return self._mirror._area(-x)

    def _steep(self, x: Tensor) -> Tensor:
        return self._mirror._steep(-x)

    def _bend(self, x: Tensor) -> Tensor:
        return -self._mirror._bend(-x)

    def _apart(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return self._mirror._apart(-x, -y, -d)

    def _rise(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return -self._mirror._rise(-x, -y, -d)

    def _both(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        cost, rise = self._mirror._both(-x, -y, -d)
        return cost, rise.neg_()

    def _beyond(self, x: Tensor, upper: bool) -> Tensor:
        return self._area(x)

    def _solve(self, v: Tensor) -> Tensor:
        return -self._mirror._solve(-v)

    @classmethod
    def _focused(cls, low: float, high: float, scale: float) -> ReverseExp:
        return cls(low, (high - low) / math.log(2), scale)


def _way_up(d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From u = |d|, in float32: e⁻ᵘ - 1, what exponentials are apart over the larger one, and u (1 - e⁻ᵘ).

    On the way down that is v = u + e⁻ᵘ - 1, on the way up u (1 - e⁻ᵘ) - v.
    """
    u = d.abs()
    near = (u * NEAR[-1]).add_(NEAR[-2])
    for coefficient in NEAR[-3:0:-1]:
        near.mul_(u).add_(coefficient)
    near.mul_(u).mul_(u)
    # without expm1, for which torch's compiler for processors writes exp(x) - 1
    close, far = u <= NEAR[0], u.neg().exp_().sub_(1)
    fall, down = torch.where(close, near - u, far), torch.where(close, near, far + u)
    both = u.mul_(fall).neg_()
    up = torch.where(d > 0, both - down, down)
    return fall, up, both
