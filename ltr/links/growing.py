"""What links share whose slope rises without bound, up to a tail where they go on as a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.autograd import area_between
from ltr.links.shaped import Shaped

#: with a longer tail, divergences of scores of size 1e4 come near the end of float32
LONGEST_TAIL = 50.0


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

    def _all_inside(self, x: Tensor) -> bool:
        if not x.numel():
            return True
        low, high = x.aminmax() if self._two_sided else (x.new_zeros(()), x.amax())
        return -self.tail <= float(low) and float(high) <= self.tail

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
        if d.device.type == "cpu" and not torch.compiler.is_compiling() and self._all_inside(x) and self._all_inside(y):
            return self._inner_both(x, y, d)  # in three quarters of the time
        a, b, inside = self._clipped(x, y, d)
        over, beyond = x - a, y - b
        # beyond one end the whole difference lies in the line; near each other, no part of it is lost to rounding
        line = torch.where(inside == 0, d, over - beyond)
        inside = torch.where(d.abs() <= 1, d - line, inside)
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


def hinge_apart(u: Tensor, v: Tensor, d: Tensor) -> Tensor:
    """The divergence of the link max(·, 0) from v to u = v + d."""
    both = (u > 0) & (v > 0)
    step = torch.where(both, d, u.clamp(min=0) - v.clamp(min=0))
    return step * step / 2 + v.clamp(min=0) * (-u).clamp(min=0)
