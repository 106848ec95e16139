"""What the links with a centre, a width and a scale share."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.autograd import area_between, mean_between
from ltr.links.base import Link


@dataclass(frozen=True, repr=False)
class Shaped(Link):
    """h(z) = scale · g((z - center) / width) for a shape g.

    Subclasses give g, its primitive and derivatives in x = (z - center) / width; ``d`` is x - y, never recomputed from
    them, so that small differences of large scores stay exact.
    """

    center: float = 0.0
    width: float = 1.0
    scale: float = 1.0

    #: (lowest, highest) value of the shape, whether it is convex, and where its slope peaks (empty: grows)
    _limits: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    _rising: ClassVar[bool] = False
    _peaks: ClassVar[tuple[float, ...]] = (0.0,)
    #: ``_both`` is accurate in float32
    _single: ClassVar[bool] = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        for field in fields(self):
            value = number(name, field.name, getattr(self, field.name))
            if field.name != "center" and value <= 0:
                raise ConfigError(f"{name}: {field.name} must be positive, got {value:g}")
            object.__setattr__(self, field.name, value)

    def __repr__(self) -> str:
        given = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given)})"

    @property
    def range(self) -> tuple[float, float]:
        return self.scale * self._limits[0], self.scale * self._limits[1]

    @property
    def convex(self) -> bool:
        return self._rising

    @property
    def steepest(self) -> tuple[float, ...]:
        return tuple(self.center + self.width * x for x in self._peaks)

    def _x(self, z: Tensor) -> Tensor:
        return (z - self.center) / self.width

    def _value(self, z: Tensor) -> Tensor:
        return self.scale * self._g(self._x(z))

    def _primitive(self, z: Tensor) -> Tensor:
        return self.scale * self.width * self._area(self._x(z))

    def _slope(self, z: Tensor) -> Tensor:
        return self.scale / self.width * self._steep(self._x(z))

    def _curvature(self, z: Tensor) -> Tensor:
        return self.scale / self.width**2 * self._bend(self._x(z))

    def _divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        x, y, d = self._x(pred), self._x(target), (pred - target) / self.width
        return self.scale * self.width * self._apart(x, y, d)

    def _difference(self, pred: Tensor, target: Tensor) -> Tensor:
        x, y, d = self._x(pred), self._x(target), (pred - target) / self.width
        return self.scale * self._rise(x, y, d)

    def matched(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if not self._single:
            return super().matched(pred, target)
        d = pred - target
        x, y, d = (pred, target, d) if self._standard else (self._x(pred), self._x(target), d / self.width)
        apart, rise = self._both(x, y, d)
        return (apart, rise) if self._standard else (self.scale * self.width * apart, self.scale * rise)

    @property
    def _standard(self) -> bool:
        return self.center == 0 and self.width == self.scale == 1

    def _bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        x, y, d = self._x(pred), self._x(target), (pred - target) / self.width
        return self.scale * self._above_tangent(x, y, d)

    def _boundary(self, pred: Tensor, upper: bool) -> Tensor:
        return self.scale * self.width * self._beyond(self._x(pred), upper)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.center + self.width * self._solve(y / self.scale)

    # the shape: g, its primitive, derivative and second derivative, its inverse
    def _g(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _area(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _steep(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _bend(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _solve(self, v: Tensor) -> Tensor:
        raise NotImplementedError

    def _beyond(self, x: Tensor, upper: bool) -> Tensor:
        """What lies between the shape and the end of its range, above x (``upper``) or below; only where that is finite."""
        raise NotImplementedError

    # ... and what compares two points: a quadrature where they are near, the definition where they are not
    def _near(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return d.abs() <= 1

    def _apart(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        """The shape's divergence."""
        near = d * d * area_between(self._steep, y, d)
        return torch.where(self._near(x, y, d), near, self._far_apart(x, y, d))

    def _both(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """``_apart`` and ``_rise``; may overwrite d."""
        return self._apart(x, y, d), self._rise(x, y, d)

    def _far_apart(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return self._area(x) - self._area(y) - d * self._g(y)

    def _rise(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        """g(x) - g(y)."""
        return torch.where(self._near(x, y, d), d * mean_between(self._steep, y, d), self._g(x) - self._g(y))

    def _above_tangent(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        """g(x) - g(y) - (x - y) g'(y)."""
        near = d * d * area_between(self._bend, y, d)
        return torch.where(self._near(x, y, d), near, self._g(x) - self._g(y) - d * self._steep(y))


def number(who: str, what: str, value: object) -> float:
    """``value`` as a finite float, or a ConfigError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{who}: {what} must be a finite number, got {value!r}")
    return float(value)
