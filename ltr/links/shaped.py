"""The links with a centre, a width and a scale, the built-in ones and anyone's own."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.autograd import area_between, derivative, mean_between
from ltr.links.base import Link
from ltr.links.checks import FAR, not_negative
from ltr.links.numerics import quadrature
from ltr.links.numerics.inverse import solved
from ltr.links.shape_checks import SLOWEST, check_shape


@dataclass(frozen=True, repr=False)
class ShapedLink(Link):
    """h(z) = scale · shape((z - center) / width). Derive from it for a link of your own.

    A subclass needs ``shape`` alone, an increasing function of x = (z - center) / width; nearly always ``shape_slope``
    too, which saves autograd, and the constants ``shape_range`` and ``shape_convex`` where they are not the defaults.
    Everything else follows:

    =======================================  ===========================================================================
    ``shape(x)``                             g(x), needed
    ``shape_slope(x)``                       g'(x) >= 0; else by autograd
    ``shape_curvature(x)``                   g''(x), differentiable by autograd; else by autograd from the slope
    ``shape_primitive(x)``                   G with G' = g; else, and with it all divergences, by adaptive quadrature
    ``shape_inverse(y)``                     x with g(x) = y, infinite at the ends of the range; else by bisection
    ``shape_divergence(x, y, d)``            G(x) - G(y) - d g(y)
    ``shape_difference(x, y, d)``            g(x) - g(y)
    ``shape_bregman(x, y, d)``               g(x) - g(y) - d g'(y), for convex shapes
    ``shape_divergence_and_difference(…)``   both at once, where they share work; may overwrite d
    ``shape_boundary(x, upper)``             the divergence from an infinite target, where the range ends
    ``shape_range``                          (lowest, highest) value that g takes or approaches; default: unbounded
    ``shape_convex``                         whether the slope never falls; default: no
    ``shape_peaks``                          every x where the slope may peak; default: none known
    ``smooth``                               whether the slope is continuous; default: yes
    ``focused(low, high, scale)``            a class method for ``focus``: the link that is steep between two scores
    =======================================  ===========================================================================

    All take and return tensors of one shape, element by element, by torch operations; float64, or float32 on devices
    without it. They need not think of gradients, which are put together from one another, and must be finite for x up
    to 1e4 in size: let what grows exponentially go on as a straight line. ``d`` is x - y, given so that small
    differences of large scores stay exact.

    Without ``shape_primitive`` divergences are accurate to 1e-9 of their value (1e-5 at kinks), but take some twenty to
    a hundred times as long, make a GPU wait, and cannot be vmapped. With it the definition is used where |d| > 1, and 8
    evaluations of the slope where it would cancel, which is as accurate where the slope is smooth over one width.
    ``single_precision = True`` says that ``shape_divergence_and_difference`` is accurate in float32, too, which makes
    losses over pairs faster.

    What a subclass defines is tried when a link is made; what contradicts the rest is refused. Parameters beyond
    center, width and scale make it ``@dataclass(frozen=True)`` again; they keep their values under their names.

    Args:
        center: score where the shape's x is 0.
        width: score units per unit of x, > 0.
        scale: factor, > 0.

    Raises:
        ConfigError: a parameter is not as above, or the shape's functions contradict one another.

    >>> class Arctan(ShapedLink):
    ...     '''h = arctan x.'''
    ...     shape_range = (-math.pi / 2, math.pi / 2)
    ...     def shape(self, x):
    ...         return torch.atan(x)
    ...     def shape_slope(self, x):
    ...         return 1 / (1 + x * x)
    >>> round(float(Arctan(center=1.0).divergence(2.0, 1.0)), 6)    # arctan 1 - log(2) / 2
    0.438825
    """

    center: float = 0.0
    width: float = 1.0
    scale: float = 1.0

    shape_range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    shape_convex: ClassVar[bool] = False
    shape_peaks: ClassVar[tuple[float, ...]] = ()
    single_precision: ClassVar[bool] = False
    unfocused = "it does not define focused(low, high, scale)"
    #: a class of ltr, whose tests prove its functions: they are not tried whenever a link is made
    _built_in: ClassVar[bool] = True
    #: there is no primitive but by quadrature
    _integrated: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._built_in = cls.__module__.partition(".")[0] == "ltr"
        cls._integrated = cls.shape_primitive is ShapedLink.shape_primitive
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # its own, so that @dataclass writes no other

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "center", number(name, "center", self.center))
        for part in ("width", "scale"):
            object.__setattr__(self, part, positive(name, part, getattr(self, part)))
        for field in fields(self):
            if isinstance(getattr(self, field.name), list):  # as YAML and expressions have it; links can be hashed
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        if not self._built_in:
            check_shape(self, ShapedLink)

    def __repr__(self) -> str:
        given = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        kind = type(self)
        name = kind.__name__ if self._built_in else f"{kind.__module__}.{kind.__qualname__}"
        return f"{name}({', '.join(f'{name}={value!r}' for name, value in given)})"

    @property
    def range(self) -> tuple[float, float]:
        return self.scale * self.shape_range[0], self.scale * self.shape_range[1]

    @property
    def convex(self) -> bool:
        return self.shape_convex

    @property
    def steepest(self) -> tuple[float, ...]:
        return tuple(self.center + self.width * x for x in self.shape_peaks)

    def shape_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """g(x) and g'(x) at once, in the precision of x; the slope may be one number for all."""
        return self.shape(x), self.shape_slope(x)

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if not self.single_precision:
            return super().value_and_slope(z)
        x = z - self.center if self.center else z
        if self.width != 1:
            x = x / self.width if x is z else x.div_(self.width)
        value, slope = self.shape_and_slope(x)
        factor = self.scale / self.width
        # value, slope, x and z may be one tensor, so that only what is new is multiplied where it stands
        return (
            value if self.scale == 1 else value * self.scale,
            slope if factor == 1 else slope * factor,
        )

    def _in_widths(self, z: Tensor) -> Tensor:
        return (z - self.center) / self.width

    def _value(self, z: Tensor) -> Tensor:
        return self.scale * self.shape(self._in_widths(z))

    def _primitive(self, z: Tensor) -> Tensor:
        return self.scale * self.width * self.shape_primitive(self._in_widths(z))

    def _slope(self, z: Tensor) -> Tensor:
        return self.scale / self.width * self.shape_slope(self._in_widths(z))

    def _curvature(self, z: Tensor) -> Tensor:
        return self.scale / self.width**2 * self.shape_curvature(self._in_widths(z))

    def _divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        x, y, d = self._in_widths(pred), self._in_widths(target), (pred - target) / self.width
        return self.scale * self.width * self.shape_divergence(x, y, d)

    def _difference(self, pred: Tensor, target: Tensor) -> Tensor:
        x, y, d = self._in_widths(pred), self._in_widths(target), (pred - target) / self.width
        return self.scale * self.shape_difference(x, y, d)

    def matched(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if not self.single_precision:
            return super().matched(pred, target)
        d = pred - target
        x, y, d = (
            (pred, target, d) if self._standard else (self._in_widths(pred), self._in_widths(target), d / self.width)
        )
        divergence, difference = self.shape_divergence_and_difference(x, y, d)
        if self._standard:
            return divergence, difference
        return self.scale * self.width * divergence, self.scale * difference

    @property
    def _standard(self) -> bool:
        return self.center == 0 and self.width == self.scale == 1

    def _bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        x, y, d = self._in_widths(pred), self._in_widths(target), (pred - target) / self.width
        return self.scale * self.shape_bregman(x, y, d)

    def _boundary(self, pred: Tensor, upper: bool) -> Tensor:
        return self.scale * self.width * self.shape_boundary(self._in_widths(pred), upper)

    def _inverse(self, y: Tensor) -> Tensor:
        v = y / self.scale
        for end in self.shape_range:
            if math.isfinite(end) and self.scale * end / self.scale != end:  # rounding must not move an end
                v = torch.where(y == self.scale * end, end, v)
        return self.center + self.width * self.shape_inverse(v)

    # the shape: g, its primitive, derivative and second derivative, its inverse
    def shape(self, x: Tensor) -> Tensor:
        """g(x), increasing."""
        raise NotImplementedError(f"{type(self).__name__} must define shape(x), an increasing function")

    def shape_primitive(self, x: Tensor) -> Tensor:
        """G(x) with G' = g; any constant will do."""
        return quadrature.primitive(self.shape, x)

    def shape_slope(self, x: Tensor) -> Tensor:
        """g'(x)."""
        return derivative(self.shape, x)

    def shape_curvature(self, x: Tensor) -> Tensor:
        """g''(x), differentiable by autograd."""
        return derivative(self.shape_slope, x)

    def shape_inverse(self, y: Tensor) -> Tensor:
        """x with g(x) = y: infinite at the ends of ``shape_range`` that g only approaches, NaN outside it."""
        return solved(self.shape, self.shape_range, y)

    def shape_boundary(self, x: Tensor, upper: bool) -> Tensor:
        """What lies between the shape and the end of its range, above x (``upper``) or below; only where that is finite."""
        end = self.shape_range[int(upper)]
        far = x.new_tensor(FAR if upper else -FAR)
        rest = abs(end - float(self.shape(far)))
        if rest * FAR > SLOWEST * max(1, abs(end)):
            raise ConfigError(
                f"{self!r}: boundary needs a shape that gets near the end of its range: at x = {far:g} it is still "
                f"{rest:.3g} from {end:g}; define shape_boundary(x, upper)"
            )
        return self._by_quadrature(x, far.expand_as(x), x - far)

    # ... and what compares two points: a quadrature where they are near, the definition where they are not; without a
    # primitive there is no definition, and all of it is adaptive quadrature
    def _by_quadrature(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        result = quadrature.divergence(self.shape, self.shape_slope, x, y, d)
        return not_negative(f"{self!r}: shape", self.shape, x, y, result, at="at x =")

    def _near(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return d.abs() <= 1

    def shape_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        """G(x) - G(y) - d g(y), never negative."""
        if self._integrated:
            return self._by_quadrature(x, y, d)
        near = d * d * area_between(self.shape_slope, y, d)
        return torch.where(self._near(x, y, d), near, self._far_divergence(x, y, d))

    def shape_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """``shape_divergence`` and ``shape_difference``; may overwrite d."""
        return self.shape_divergence(x, y, d), self.shape_difference(x, y, d)

    def _far_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return (self.shape_primitive(x) - self.shape_primitive(y) - d * self.shape(y)).clamp(min=0)

    def shape_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        """g(x) - g(y)."""
        if self._integrated:
            return quadrature.difference(self.shape, self.shape_slope, x, y, d)
        near = d * mean_between(self.shape_slope, y, d)
        return torch.where(self._near(x, y, d), near, self.shape(x) - self.shape(y))

    def shape_bregman(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        """g(x) - g(y) - d g'(y); never negative, as the shape is convex."""
        if self._integrated:
            return quadrature.bregman(self.shape_slope, y, d).clamp(min=0)
        near = d * d * area_between(self.shape_curvature, y, d)
        return torch.where(self._near(x, y, d), near, self.shape(x) - self.shape(y) - d * self.shape_slope(y))


def number(who: str, what: str, value: object) -> float:
    """``value`` as a finite float, or a ConfigError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{who}: {what} must be a finite number, got {value!r}")
    return float(value)


def positive(who: str, what: str, value: object) -> float:
    """``value`` as a finite float above 0, or a ConfigError."""
    result = number(who, what, value)
    if result <= 0:
        raise ConfigError(f"{who}: {what} must be positive, got {result:g}")
    return result
