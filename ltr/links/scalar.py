"""The links with a centre, a width and a scale whose slope stays bounded: one smooth shape each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltr.links.shaped import ShapedLink

#: sigmoids are compared by a series up to this distance, where it is right to 1e-6 and the definition to 1e-5
NEAR = 0.1

#: 2 atanh h - 2 h = h³ (c₀ + c₁ h² + …) up to the first number, to 3e-6 of itself (Chebyshev); the c follow
SERIES = (0.25, 0.66666849, 0.39947463, 0.30779474)


class Peaked(ShapedLink):
    """A link whose slope peaks at its center and falls alike to both sides."""

    single_precision = True
    shape_peaks = (0.0,)
    #: the slope is half its peak at x = ± this
    _half: ClassVar[float]

    @classmethod
    def focused(cls, low: float, high: float, scale: float) -> Peaked:
        return cls((low + high) / 2, (high - low) / (2 * cls._half), scale)


@dataclass(frozen=True, repr=False)
class Identity(ShapedLink):
    """h = x: the same sensitivity everywhere; its divergence is half the squared error (over the width).

    >>> float(Identity().divergence(3.0, 1.0))
    2.0
    """

    shape_convex = single_precision = True
    shape_peaks = (0.0,)
    unfocused = "Identity is equally steep everywhere"

    def shape(self, x: Tensor) -> Tensor:
        return x

    def shape_primitive(self, x: Tensor) -> Tensor:
        return x * x / 2

    def shape_slope(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    def shape_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_ones(())

    def shape_curvature(self, x: Tensor) -> Tensor:
        return 0 * x

    def shape_inverse(self, v: Tensor) -> Tensor:
        return v

    def shape_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return d * d / 2

    def shape_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return d

    def shape_bregman(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return torch.zeros_like(d)


@dataclass(frozen=True, repr=False)
class Sigmoid(Peaked):
    """h = σ(x) = 1/(1 + e⁻ˣ): sensitive around the center, next to nothing 5 widths away from it.

    Put the center high for accurate high scores, at 0 for accurate small ones. ``focus(range=(a, b))`` puts the
    center in the middle and takes width = (b - a) / 3.53, so that the slope is at least half its peak, scale/(4 width),
    exactly between a and b.

    Args:
        center: score of the steepest point.
        width: score units per unit of x, > 0.
        scale: height of the step from 0, > 0.

    >>> float(Sigmoid(center=2.0)(2.0))
    0.5
    """

    shape_range = (0.0, 1.0)
    _half = math.log(3 + math.sqrt(8))

    def shape(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def shape_primitive(self, x: Tensor) -> Tensor:
        return softplus(x)

    def shape_slope(self, x: Tensor) -> Tensor:
        # σ(x) σ(-x) by one exponential: pairs of documents ask for this most
        e = x.abs().neg_().exp_()
        return e / (1 + e).square()

    def shape_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value = torch.sigmoid(x)
        return value, x.neg().sigmoid_().mul_(value)

    def shape_curvature(self, x: Tensor) -> Tensor:
        return -torch.sigmoid(x) * torch.sigmoid(-x) * torch.tanh(x / 2)

    def shape_inverse(self, v: Tensor) -> Tensor:
        return torch.logit(v)

    def shape_boundary(self, x: Tensor, upper: bool) -> Tensor:
        return softplus(-x if upper else x)

    def _far_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        # mirrored to a target <= 0, where nothing cancels
        sign = torch.where(y > 0, -1.0, 1.0)
        x, y, d = sign * x, sign * y, sign * d
        return softplus(x) - softplus(y) - d * torch.sigmoid(y)

    def shape_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        high, low = torch.maximum(x, y), torch.minimum(x, y)
        return -d.sign() * torch.sigmoid(high) * torch.sigmoid(-low) * torch.expm1(-d.abs())

    def shape_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        if d.dtype == torch.float64:
            return super().shape_divergence_and_difference(x, y, d)
        # 1.9 x faster than by nodes: all follows from p = σ(x) and q = σ(y), mirrored to a target <= 0
        sign = torch.ones_like(y).copysign_(y)
        back = d * sign  # y - x once they are mirrored
        y = y.abs().neg_()
        x = y - back
        p, q = x.sigmoid(), y.sigmoid()
        rest, fall = 1 - p, q - p
        slope_fall = rest - q  # the fall of the slope over that of σ
        # near: the trapezoid and its end correction (Euler-Maclaurin)
        close = back.clamp(-NEAR, NEAR)
        near_fall = close.expm1().mul_(1 - q).mul_(p)
        near = (slope_fall * close).add_(6).mul_(close).mul_(near_fall).mul_(1 / 12)
        # far: log(1 + eˣ) - log(1 + eʸ), the logarithm of a ratio between 1/2 and 2, and what is straight
        ratio = torch.minimum(p - q, slope_fall).div_(torch.maximum(p, rest))
        far = ratio.log1p_().add_(x.clamp_(min=0)).addcmul_(back, q).clamp_(min=0)
        chosen = torch.eq(close, back, out=rest)
        return torch.lerp(far, near, chosen), torch.lerp(fall, near_fall, chosen).mul_(sign)


@dataclass(frozen=True, repr=False)
class Tanh(Peaked):
    """h = tanh x: the sigmoid from -scale to scale, twice as steep for its width.

    ``focus(range=(a, b))`` puts the center in the middle and takes width = (b - a) / 1.76: the slope is at least half
    its peak, scale/width, exactly between a and b.

    >>> float(Tanh()(0.0))
    0.0
    """

    shape_range = (-1.0, 1.0)
    _half = math.log(3 + math.sqrt(8)) / 2
    _base: ClassVar[Sigmoid] = Sigmoid()

    def shape(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def shape_primitive(self, x: Tensor) -> Tensor:
        return x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - math.log(2)

    def shape_slope(self, x: Tensor) -> Tensor:
        return 4 * self._base.shape_slope(2 * x)

    def shape_curvature(self, x: Tensor) -> Tensor:
        return 8 * self._base.shape_curvature(2 * x)

    def shape_inverse(self, v: Tensor) -> Tensor:
        return torch.atanh(v)

    def shape_boundary(self, x: Tensor, upper: bool) -> Tensor:
        return self._base.shape_boundary(2 * x, upper)

    def shape_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return self._base.shape_divergence(2 * x, 2 * y, 2 * d)

    def shape_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return 2 * self._base.shape_difference(2 * x, 2 * y, 2 * d)

    def shape_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        divergence, difference = self._base.shape_divergence_and_difference(2 * x, 2 * y, 2 * d)
        return divergence, difference.mul_(2)


@dataclass(frozen=True, repr=False)
class Asinh(Peaked):
    """h = asinh x: sensitive around the center, with tails so heavy (slope 1/|x|) that no score is ever dead.

    ``focus(range=(a, b))`` puts the center in the middle and takes width = (b - a) / 3.46: the slope is at least half
    its peak, scale/width, exactly between a and b.

    >>> float(Asinh().slope(0.0))
    1.0
    """

    _half = math.sqrt(3)

    def shape(self, x: Tensor) -> Tensor:
        return torch.asinh(x)

    def shape_primitive(self, x: Tensor) -> Tensor:
        return x * torch.asinh(x) - (1 + x * x).sqrt()

    def shape_slope(self, x: Tensor) -> Tensor:
        return torch.rsqrt(1 + x * x)

    def shape_curvature(self, x: Tensor) -> Tensor:
        return -x / (1 + x * x) ** 1.5

    def shape_inverse(self, v: Tensor) -> Tensor:
        return torch.sinh(v)

    def _near(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        # the slope changes the slower the farther out, where the definition cancels most
        return d.abs() <= 0.5 * (1 + y * y).sqrt()

    def _far_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        # the definition with its products and its roots put together, which asks for asinh twice and not three times
        roots = (1 + x * x).sqrt() + (1 + y * y).sqrt()
        return x * (torch.asinh(x) - torch.asinh(y)) - d * (x + y) / roots

    def shape_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        if d.dtype == torch.float64:
            return super().shape_divergence_and_difference(x, y, d)
        # torch's asinh takes the time of 20 logarithms; all follows from one logarithm and two roots, by addition theorems:
        # with r = asinh x - asinh y and h = tanh(r/2) = d / (√(1 + x²) + √(1 + y²)) the divergence is
        # (d r + (x + y)(r - 2 h))/2. Tensors are used again as soon as they are free: fresh memory costs more than sums
        x_root, y_root = ((z * z).add_(1).sqrt_() for z in (x, y))
        low, high = torch.minimum(x, y), torch.maximum(x, y)
        smaller = low.clamp_(min=0).sub_(high.clamp_(max=0))  # of |x| and |y| where the signs agree, else 0
        roots = torch.add(x_root, y_root, out=high)
        a, b = x.abs().add_(x_root), y.abs().add_(y_root)  # e^|asinh x|, e^|asinh y|
        # e^|r| - 1 = |d| / ((1/a + 1/b)/2 + smaller), where nothing cancels
        below = torch.add(a, b, out=x_root).div_(a.mul_(b))
        smaller.add_(below, alpha=0.5)
        difference = torch.abs(d, out=a).div_(smaller).log1p_().copysign_(d)
        half = torch.div(d, roots, out=below)
        gap = torch.sub(difference, half, alpha=2, out=roots)  # r - 2 h, near by its series
        square = torch.mul(half, half, out=b)
        near = torch.mul(square, SERIES[-1], out=smaller)
        for coefficient in SERIES[-2:0:-1]:
            near.add_(coefficient).mul_(square)
        gap.lerp_(near.mul_(half), square.le_(SERIES[0] ** 2))
        return gap.mul_(torch.add(x, y, out=near)).addcmul_(d, difference).mul_(0.5), difference


def softplus(x: Tensor) -> Tensor:
    """log(1 + eˣ), to the last digits of float64 too; a third of the time of ``-logsigmoid(-x)``."""
    return torch.nn.functional.softplus(x, threshold=40.0)  # torch's own threshold of 20 is 1e-10 off there
