"""The links that grow exponentially: their slope rises without bound, up to a tail where they go on as a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.autograd import area_between
from ltr.links.shaped import Shaped

#: with a longer tail, divergences of scores of size 1e4 come near the end of float32
LONGEST_TAIL = 50.0

#: u + e⁻ᵘ - 1 = u² (c₀ + c₁ u + …) up to the first number, to 1e-7 of itself (Chebyshev); the c follow
NEAR = (0.25, 0.49999996, -0.16666163, 0.04156512, -0.00767247)


@dataclass(frozen=True, repr=False)
class Growing(Shaped):
    """A shape g that is followed only up to a tail, and continues as its tangent line from there.

    The link stays smooth to first order and increasing, its gradient grows linearly instead of exponentially, and its
    divergence stays an exact Bregman divergence. With x' = x clipped to the tail, the link is g(x') plus straight
    pieces beyond; the divergence is linear in the link, so it is the sum of theirs, no term negative.
    """

    tail: float = 10.0

    _peaks: ClassVar[tuple[float, ...]] = ()
    _single = True
    #: whether there is a tail on the negative side too
    _two_sided: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tail > LONGEST_TAIL:
            raise ConfigError(
                f"{type(self).__name__}: tail must be at most {LONGEST_TAIL:g} widths, or results overflow, got {self.tail:g}"
            )

    # the shape inside the tail
    def _inner(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_area(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_steep(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_bend(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_rise(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_far_apart(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_both(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """The inner shape's divergence and rise in float32."""
        raise NotImplementedError

    def _inner_solve(self, v: Tensor) -> Tensor:
        raise NotImplementedError

    def _clip(self, x: Tensor) -> Tensor:
        return x.clamp(-self.tail if self._two_sided else None, self.tail)

    def _g(self, x: Tensor) -> Tensor:
        inside = self._clip(x)
        return self._inner(inside) + (x - inside) * self._inner_steep(inside)

    def _area(self, x: Tensor) -> Tensor:
        inside = self._clip(x)
        beyond = x - inside
        return self._inner_area(inside) + beyond * (self._inner(inside) + beyond / 2 * self._inner_steep(inside))

    def _steep(self, x: Tensor) -> Tensor:
        return self._inner_steep(self._clip(x))

    def _bend(self, x: Tensor) -> Tensor:
        inside = self._clip(x)
        return torch.where(x == inside, self._inner_bend(inside), 0)

    def _clipped(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b = self._clip(x), self._clip(y)
        return a, b, torch.where((a == x) & (b == y), d, a - b)

    @property
    def _end_slope(self) -> float:
        raise NotImplementedError

    def _apart(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        a, b, inside = self._clipped(x, y, d)
        near = inside * inside * area_between(self._inner_steep, b, inside)
        total = torch.where(inside.abs() <= 1, near, self._inner_far_apart(a, b, inside))
        total = total + (x - a) * self._inner_rise(a, b, inside)
        total = total + self._end_slope * hinge_apart(x - self.tail, y - self.tail, d)
        if self._two_sided:
            total = total + self._end_slope * hinge_apart(-x - self.tail, -y - self.tail, -d)
        return total

    def _rise(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        a, b, inside = self._clipped(x, y, d)
        # both beyond the same end: the whole difference lies in the line
        beyond = torch.where(inside == 0, d, (x - a) - (y - b))
        return self._inner_rise(a, b, inside) + self._end_slope * beyond

    def _both(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        if d.dtype == torch.float64:
            return super()._both(x, y, d)
        # both within: exactly the difference, and exactly nothing in the lines
        a, b, inside = self._clipped(x, y, d)
        line, over, beyond = d.sub_(inside), x - a, y - b
        cost, rise = self._inner_both(a, b, inside)
        # the hinges at both ends together: half the square of what lies in the lines, and the target's part of it times the rest
        hinges = line.mul(line).mul_(0.5).addcmul_(beyond, inside, value=-1)
        cost.addcmul_(over, rise).add_(hinges, alpha=self._end_slope)
        return cost, rise.add_(line, alpha=self._end_slope)

    def _solve(self, v: Tensor) -> Tensor:
        end = self._inner(torch.full_like(v, self.tail))
        inside = self._inner_solve(v.clamp(-end if self._two_sided else None, end))
        over = torch.where(v > end, v - end, torch.where(v < -end, v + end, 0) if self._two_sided else 0)
        return inside + over / self._end_slope


def _way_up(d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From u = |d|, in float32: e⁻ᵘ - 1, what exponentials are apart over the larger one, and u (1 - e⁻ᵘ).

    On the way down that is v = u + e⁻ᵘ - 1, on the way up u (1 - e⁻ᵘ) - v.
    """
    u = d.abs()
    fall = u.neg().expm1_()
    near = (u * NEAR[-1]).add_(NEAR[-2])
    for coefficient in NEAR[-3:0:-1]:
        near.mul_(u).add_(coefficient)
    down = torch.where(u <= NEAR[0], near.mul_(u).mul_(u), u + fall)
    both = u.mul_(fall).neg_()
    up = torch.where(d > 0, both - down, down)
    return fall, up, both


def hinge_apart(u: Tensor, v: Tensor, d: Tensor) -> Tensor:
    """The divergence of the link max(·, 0) from v to u = v + d."""
    both = (u > 0) & (v > 0)
    step = torch.where(both, d, u.clamp(min=0) - v.clamp(min=0))
    return step * step / 2 + v.clamp(min=0) * (-u).clamp(min=0)


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
