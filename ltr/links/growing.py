"""What links share whose slope rises without bound, up to a tail where they go on as a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.autograd import area_between
from ltr.links.shaped import ShapedLink, positive

#: with a longer tail, divergences of scores of size 1e4 come near the end of float32
LONGEST_TAIL = 50.0


@dataclass(frozen=True, repr=False)
class Growing(ShapedLink):
    """A shape g that is followed only up to a tail, and continues as its tangent line from there.

    The link stays smooth to first order and increasing, its gradient grows linearly instead of exponentially, and its
    divergence stays an exact Bregman divergence. With x' = x clipped to the tail, the link is g(x') plus straight
    pieces beyond; the divergence is linear in the link, so it is the sum of theirs, no term negative.
    """

    tail: float = 10.0

    single_precision = True
    #: whether there is a tail on the negative side too
    _two_sided: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tail", positive(type(self).__name__, "tail", self.tail))
        if self.tail > LONGEST_TAIL:
            raise ConfigError(
                f"{type(self).__name__}: tail must be at most {LONGEST_TAIL:g} widths, or results overflow, got {self.tail:g}"
            )

    # the shape inside the tail
    def _inner_shape(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_primitive(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_slope(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_curvature(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_far_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        raise NotImplementedError

    def _inner_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """The inner shape's divergence and difference in float32."""
        raise NotImplementedError

    def _inner_inverse(self, v: Tensor) -> Tensor:
        raise NotImplementedError

    def _clip(self, x: Tensor) -> Tensor:
        return x.clamp(-self.tail if self._two_sided else None, self.tail)

    def shape(self, x: Tensor) -> Tensor:
        inside = self._clip(x)
        return self._inner_shape(inside) + (x - inside) * self._inner_slope(inside)

    def shape_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inside = self._clip(x)
        slope = self._inner_slope(inside)
        return torch.addcmul(self._inner_shape(inside), x - inside, slope), slope

    def shape_primitive(self, x: Tensor) -> Tensor:
        inside = self._clip(x)
        beyond = x - inside
        return self._inner_primitive(inside) + beyond * (
            self._inner_shape(inside) + beyond / 2 * self._inner_slope(inside)
        )

    def shape_slope(self, x: Tensor) -> Tensor:
        return self._inner_slope(self._clip(x))

    def shape_curvature(self, x: Tensor) -> Tensor:
        inside = self._clip(x)
        return torch.where(x == inside, self._inner_curvature(inside), 0)

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

    def shape_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        a, b, inside = self._clipped(x, y, d)
        near = inside * inside * area_between(self._inner_slope, b, inside)
        total = torch.where(inside.abs() <= 1, near, self._inner_far_divergence(a, b, inside))
        total = total + (x - a) * self._inner_difference(a, b, inside)
        total = total + self._end_slope * hinge_divergence(x - self.tail, y - self.tail, d)
        if self._two_sided:
            total = total + self._end_slope * hinge_divergence(-x - self.tail, -y - self.tail, -d)
        return total

    def shape_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        a, b, inside = self._clipped(x, y, d)
        # both beyond the same end: the whole difference lies in the line
        beyond = torch.where(inside == 0, d, (x - a) - (y - b))
        return self._inner_difference(a, b, inside) + self._end_slope * beyond

    def shape_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        if d.dtype == torch.float64:
            return super().shape_divergence_and_difference(x, y, d)
        if d.device.type == "cpu" and not torch.compiler.is_compiling() and self._all_inside(x) and self._all_inside(y):
            return self._inner_divergence_and_difference(x, y, d)  # in three quarters of the time
        a, b, inside = self._clipped(x, y, d)
        over, beyond = x - a, y - b
        # beyond one end the whole difference lies in the line; near each other, no part of it is lost to rounding
        line = torch.where(inside == 0, d, over - beyond)
        inside = torch.where(d.abs() <= 1, d - line, inside)
        divergence, difference = self._inner_divergence_and_difference(a, b, inside)
        # the hinges at both ends together: half the square of what lies in the lines, and the target's part of it times the rest
        hinges = line.mul(line).mul_(0.5).addcmul_(beyond, inside, value=-1)
        divergence.addcmul_(over, difference).add_(hinges, alpha=self._end_slope)
        return divergence, difference.add_(line, alpha=self._end_slope)

    def shape_inverse(self, v: Tensor) -> Tensor:
        end = self._inner_shape(torch.full_like(v, self.tail))
        inside = self._inner_inverse(v.clamp(-end if self._two_sided else None, end))
        over = torch.where(v > end, v - end, torch.where(v < -end, v + end, 0) if self._two_sided else 0)
        return inside + over / self._end_slope


def hinge_divergence(u: Tensor, v: Tensor, d: Tensor) -> Tensor:
    """The divergence of the link max(·, 0) from v to u = v + d."""
    both = (u > 0) & (v > 0)
    step = torch.where(both, d, u.clamp(min=0) - v.clamp(min=0))
    return step * step / 2 + v.clamp(min=0) * (-u).clamp(min=0)
