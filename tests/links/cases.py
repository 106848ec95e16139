"""Every kind of link once or more: a new link adds a line here and inherits every law."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ltr.links import (
    Asinh,
    Exp,
    Identity,
    Link,
    Numeric,
    Piecewise,
    ReverseExp,
    ReverseSoftplus,
    Scaled,
    ShapedLink,
    Sigmoid,
    Sinh,
    Softplus,
    Sum,
    Tanh,
)

LINKS = [
    Identity(),
    Identity(center=1.5, width=0.5, scale=3.0),
    Sigmoid(),
    Sigmoid(center=2.0, width=0.25, scale=4.0),
    Tanh(),
    Tanh(center=-1.0, width=3.0, scale=0.5),
    Asinh(),
    Asinh(center=0.5, width=0.1, scale=2.0),
    Sinh(),
    Sinh(center=-3.0, width=2.0, scale=0.25, tail=3.0),
    Exp(),
    Exp(center=1.0, width=0.5, scale=2.0, tail=2.0),
    ReverseExp(),
    ReverseExp(center=-1.0, width=0.75, scale=1.5, tail=4.0),
    Softplus(),
    Softplus(center=-0.5, width=0.5, scale=2.0),
    ReverseSoftplus(),
    ReverseSoftplus(center=0.5, width=0.75, scale=1.5),
    Piecewise(knots=(-1.0, 0.5, 2.0), slopes=(0.5, 0.1, 2.0, 1.0)),
    Piecewise(knots=(0.0, 1.0), slopes=(0.25, 1.0, 3.0)),
    Numeric("torch:asinh"),
    Numeric("torch.nn.functional.softplus", convex=True, low=0.0),
    Sigmoid(center=2.0) + 0.1 * Identity(),
    Sigmoid(center=-1.0, width=0.5) + Sigmoid(center=2.0, width=0.5),
    2.5 * (Exp(tail=3.0) + Softplus()),
    0.5 * Tanh(width=2.0),
]


class Erf(ShapedLink):
    """An own link with the least that one can define: its shape, and the ends of its range."""

    shape_range = (-1.0, 1.0)

    def shape(self, x):
        return torch.erf(x)


class Rising(ShapedLink):
    """An own convex link with a slope: the integral of the normal distribution."""

    shape_range = (0.0, math.inf)
    shape_convex = True

    def shape(self, x):
        return (x * normal(x) + density(x)).clamp(min=0)

    def shape_slope(self, x):
        return normal(x)


@dataclass(frozen=True)
class Bent(ShapedLink):
    """An own convex link with all that one can define, and a parameter of its own: h = ratio x + √(1 + x²)."""

    ratio: float = 2.0

    shape_convex = True
    shape_peaks = (1e4,)

    def shape(self, x):
        return self.ratio * x + root(x)

    def shape_slope(self, x):
        return self.ratio + x / root(x)

    def shape_curvature(self, x):
        return root(x) ** -3

    def shape_primitive(self, x):
        return self.ratio * x * x / 2 + (x * root(x) + torch.asinh(x)) / 2

    def shape_inverse(self, y):
        # of the two solutions of (y - r x)² = 1 + x² the smaller one
        return (self.ratio * y - (y * y + self.ratio**2 - 1).sqrt()) / (self.ratio**2 - 1)

    def shape_divergence(self, x, y, d):
        return super().shape_divergence(x, y, d)

    def shape_difference(self, x, y, d):
        return d * (self.ratio + (x + y) / (root(x) + root(y)))

    def shape_bregman(self, x, y, d):
        # √(1 + x²) √(1 + y²) - 1 - x y, as a difference of squares where it would cancel
        product, both = root(x) * root(y), 1 + x * y
        return torch.where(both > 0, d * d / (product + both.clamp(min=0)), product - both) / root(y)

    def shape_divergence_and_difference(self, x, y, d):
        return self.shape_divergence(x, y, d), self.shape_difference(x, y, d)


class Probit(ShapedLink):
    """An own bounded link with all that one can define: the normal distribution."""

    shape_range = (0.0, 1.0)
    shape_peaks = (0.0,)

    def shape(self, x):
        return normal(x)

    def shape_slope(self, x):
        return density(x)

    def shape_curvature(self, x):
        return -x * density(x)

    def shape_primitive(self, x):
        return x * normal(x) + density(x)

    def shape_inverse(self, y):
        return torch.special.ndtri(y)

    def shape_boundary(self, x, upper):
        return self.shape_primitive(-x if upper else x)

    @classmethod
    def focused(cls, low, high, scale):
        # the slope is half its peak at x = ±√(2 log 2)
        return cls((low + high) / 2, (high - low) / (2 * math.sqrt(2 * math.log(2))), scale)


def normal(x):
    # torch.special.ndtr loses its digits below -6
    return torch.special.erfc(-x / math.sqrt(2)) / 2


def density(x):
    return torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def root(x):
    return (1 + x * x).sqrt()


#: links as users write them: from outside of ltr, without a name that begins with an underscore
OWN = [
    Erf(center=0.5, width=2.0, scale=0.3),
    Rising(center=-0.5, width=1.5),
    Bent(),
    Bent(center=0.5, width=0.5, scale=2.0, ratio=1.5),
    Probit(center=1.0, width=2.0, scale=3.0),
    0.5 * Probit() + Erf(width=2.0),
]
#: kinds whose integrals are adaptive quadrature, which decides by values
ADAPTIVE = (Numeric, Erf, Rising)


def kinks(link: Link) -> tuple[float, ...]:
    """Scores where the link's slope or curvature jumps: derivatives are not compared near these."""
    if isinstance(link, Sum):
        return tuple(z for part in link.parts for z in kinks(part))
    if isinstance(link, Scaled):
        return kinks(link.link)
    if isinstance(link, Piecewise):
        return link.knots
    return tuple(link.center + side * link.width * link.tail for side in (-1, 1)) if hasattr(link, "tail") else ()
