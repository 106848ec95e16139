"""The links that are flat on one side and a straight line on the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltr.links.mirrored import Mirrored
from ltr.links.scalar import Sigmoid, softplus
from ltr.links.shaped import ShapedLink

#: Gauss and Legendre's three nodes between 0 and 1, and their weights
NODES = ((0.5 - math.sqrt(0.15), 5 / 18), (0.5, 4 / 9), (0.5 + math.sqrt(0.15), 5 / 18))


@dataclass(frozen=True, repr=False)
class Softplus(ShapedLink):
    """h = log(1 + eˣ): flat below the center, of slope scale/width above it; convex, so it serves composite losses.

    ``focus(range=(a, b))`` puts the center at a and takes width = (b - a) / log 19: the slope is half its limit at a
    and 95 % of it at b, and stays there above.

    >>> round(float(Softplus()(0.0)), 4)
    0.6931
    """

    shape_range = (0.0, math.inf)
    shape_convex = single_precision = True
    shape_peaks = (40.0,)
    _base: ClassVar[Sigmoid] = Sigmoid()

    def shape(self, x: Tensor) -> Tensor:
        return softplus(x)

    def shape_primitive(self, x: Tensor) -> Tensor:
        """∫ from -∞ to x of softplus, the dilogarithm -Li₂(-eˣ); by F(x) = x²/2 + π²/6 - F(-x) for x > 0."""
        below = _dilogarithm(softplus(-x.abs()))
        return torch.where(x > 0, x * x / 2 + math.pi**2 / 6 - below, below)

    def shape_slope(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def shape_curvature(self, x: Tensor) -> Tensor:
        # not the sigmoid's shape_slope: autograd goes through here
        return torch.sigmoid(x) * torch.sigmoid(-x)

    def shape_inverse(self, v: Tensor) -> Tensor:
        # log(eᵛ - 1), where eᵛ may overflow
        return v + torch.log(-torch.expm1(-v))

    def shape_boundary(self, x: Tensor, upper: bool) -> Tensor:
        return self.shape_primitive(x)

    def _far_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        # both above 0: the parabola less the mirrored divergence, so that large squares do not cancel
        above = (x > 0) & (y > 0)
        x, y, e = (torch.where(above, -v, v) for v in (x, y, d))
        direct = self.shape_primitive(x) - self.shape_primitive(y) - e * softplus(y)
        return torch.where(above, d * d / 2 - direct, direct)

    def shape_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        if d.dtype == torch.float64:
            return super().shape_divergence_and_difference(x, y, d)
        # near: three nodes of Gauss and Legendre, right to 5e-7; the area weighs the slope by what is left of the way
        difference = torch.add(y, d, alpha=NODES[0][0]).sigmoid_().mul_(NODES[0][1])
        area = difference * (1 - NODES[0][0])
        for node, weight in NODES[1:]:
            slope = torch.add(y, d, alpha=node).sigmoid_()
            difference.add_(slope, alpha=weight)
            area.add_(slope, alpha=weight * (1 - node))
        difference.mul_(d)
        area.mul_(d).mul_(d)
        # far: the divergence of the hinge max(0, x), and what lies above it
        (high, above, a), (low, beyond, b) = map(_over_hinge, (x, y))
        step = torch.where((x > 0) & (y > 0), d, high - low)
        far = (
            low.mul_(high.sub_(x))
            .addcmul_(step, step, value=0.5)
            .add_(a.sub_(b))
            .addcmul_(d, beyond, value=-1)
            .clamp_(min=0)
        )
        near = d.abs() <= 0.6
        return torch.where(near, area, far), torch.where(near, difference, above.sub_(beyond).add_(step))

    def shape_bregman(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return self._base.shape_divergence(x, y, d)

    @classmethod
    def focused(cls, low: float, high: float, scale: float) -> Softplus:
        return cls(low, (high - low) / math.log(19), scale)


#: what ReverseSoftplus mirrors
SOFTPLUS = Softplus()


@dataclass(frozen=True, repr=False)
class ReverseSoftplus(Mirrored):
    """h = -log(1 + e⁻ˣ) = log σ(x): of slope scale/width below the center, flat above it; ``Softplus`` mirrored.

    ``focus(range=(a, b))`` puts the center at b and takes width = (b - a) / log 19: the slope is half its limit at b and
    95 % of it at a, and stays there below.

    >>> round(float(ReverseSoftplus()(0.0)), 4)
    -0.6931
    """

    shape_range = (-math.inf, 0.0)
    single_precision = True
    shape_peaks = (-40.0,)

    @property
    def mirror(self) -> Softplus:
        return SOFTPLUS

    @classmethod
    def focused(cls, low: float, high: float, scale: float) -> ReverseSoftplus:
        return cls(high, (high - low) / math.log(19), scale)


def _over_hinge(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """max(0, x), how far softplus is above it, and the area between both up to x; in float32."""
    s = torch.copysign(x, -1.0).exp_().log1p_()
    square = s * s
    # the dilogarithm as below, its terms beyond the third power put into two coefficients (Chebyshev)
    area = (square * -0.00027553).add_(0.02777764).mul_(square).mul_(s).add_(square, alpha=0.25).add_(s)
    return x.clamp(min=0), s, torch.where(x > 0, math.pi**2 / 6 - area, area)


def _dilogarithm(s: Tensor) -> Tensor:
    """-Li₂(1 - eˢ) for 0 <= s <= log 2, by its series in Bernoulli numbers: s + s²/4 + Σ B₂ₖ s²ᵏ⁺¹ / (2k + 1)!."""
    bernoulli = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
    total = torch.zeros_like(s)
    for k, number in reversed(list(enumerate(bernoulli, 1))):
        total = (total + number / math.factorial(2 * k + 1)) * s * s
    return s + s * s / 4 + s * total
