"""Sums and positive multiples of links: everything about a link is linear in it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.base import Link
from ltr.links.numerics.inverse import solved
from ltr.links.shaped import number


@dataclass(frozen=True, repr=False)
class Sum(Link):
    """The sum of links, also written ``a + b``: several steep regions, or a floor of sensitivity under one.

    Args:
        parts: one link or more; sums among them are taken apart.

    >>> from ltr.links import Identity, Sigmoid
    >>> Sigmoid(center=2) + 0.1 * Identity()
    Sigmoid(center=2.0) + 0.1 * Identity()
    >>> float((Identity() + Identity())(1.5))
    3.0
    """

    parts: tuple[Link, ...]

    unfocused = "a sum has as many steep regions as parts; focus each part"

    def __post_init__(self) -> None:
        if isinstance(self.parts, Link) or not all(isinstance(p, Link) for p in self.parts):
            raise ConfigError(f"Sum: parts must be a list of links, got {self.parts!r}")
        flat = tuple(q for p in self.parts for q in (p.parts if isinstance(p, Sum) else (p,)))
        if not flat:
            raise ConfigError("Sum: parts must hold at least one link, got none")
        object.__setattr__(self, "parts", flat)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts)) if len(self.parts) > 1 else f"Sum(({self.parts[0]!r},))"

    @property
    def range(self) -> tuple[float, float]:
        lows, highs = zip(*(p.range for p in self.parts), strict=True)
        return sum(lows), sum(highs)

    @property
    def convex(self) -> bool:
        return all(p.convex for p in self.parts)

    @property
    def smooth(self) -> bool:
        return all(p.smooth for p in self.parts)

    @property
    def steepest(self) -> tuple[float, ...]:
        return tuple(z for p in self.parts for z in p.steepest)

    def _total(self, method: str, *inputs: Tensor) -> Tensor:
        first, *others = (getattr(p, method)(*inputs) for p in self.parts)
        return sum(others, first)

    def matched(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        divergence, difference = zip(*(p.matched(pred, target) for p in self.parts), strict=True)
        return sum(divergence[1:], divergence[0]), sum(difference[1:], difference[0])

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        values, slopes = zip(*(p.value_and_slope(z) for p in self.parts), strict=True)
        return sum(values[1:], values[0]), sum(slopes[1:], slopes[0])

    def _value(self, z: Tensor) -> Tensor:
        return self._total("_value", z)

    def _primitive(self, z: Tensor) -> Tensor:
        return self._total("_primitive", z)

    def _slope(self, z: Tensor) -> Tensor:
        return self._total("_slope", z)

    def _curvature(self, z: Tensor) -> Tensor:
        return self._total("_curvature", z)

    def _divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        return self._total("_divergence", pred, target)

    def _difference(self, pred: Tensor, target: Tensor) -> Tensor:
        return self._total("_difference", pred, target)

    def _bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        return self._total("_bregman", pred, target)

    def _boundary(self, pred: Tensor, upper: bool) -> Tensor:
        first, *others = (p._boundary(pred, upper) for p in self.parts)
        return sum(others, first)

    def _inverse(self, y: Tensor) -> Tensor:
        return solved(self._value, self.range, y) if len(self.parts) > 1 else self.parts[0]._inverse(y)


@dataclass(frozen=True, repr=False)
class Scaled(Link):
    """A link times a positive factor, also written ``2.0 * link``: the weight of a part in a sum.

    Args:
        link: the link; a multiple of another is taken apart.
        factor: > 0.

    >>> from ltr.links import Sigmoid
    >>> (0.5 * Sigmoid()).range
    (0.0, 0.5)
    """

    link: Link
    factor: float

    unfocused = "focus the link inside and scale that"

    def __post_init__(self) -> None:
        if not isinstance(self.link, Link):
            raise ConfigError(f"Scaled: link must be a link, got {self.link!r}")
        factor = number("Scaled", "factor", self.factor)
        if factor <= 0:
            raise ConfigError(f"Scaled: factor must be positive, or the link would not increase, got {factor:g}")
        if isinstance(self.link, Scaled):
            factor *= self.link.factor
            object.__setattr__(self, "link", self.link.link)
        object.__setattr__(self, "factor", factor)

    def __repr__(self) -> str:
        inner = f"({self.link!r})" if isinstance(self.link, Sum) and len(self.link.parts) > 1 else repr(self.link)
        return f"{self.factor!r} * {inner}"

    @property
    def range(self) -> tuple[float, float]:
        low, high = self.link.range
        return self.factor * low, self.factor * high

    @property
    def convex(self) -> bool:
        return self.link.convex

    @property
    def smooth(self) -> bool:
        return self.link.smooth

    @property
    def steepest(self) -> tuple[float, ...]:
        return self.link.steepest

    def matched(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        divergence, difference = self.link.matched(pred, target)
        return self.factor * divergence, self.factor * difference

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = self.link.value_and_slope(z)
        return self.factor * value, self.factor * slope

    def _value(self, z: Tensor) -> Tensor:
        return self.factor * self.link._value(z)

    def _primitive(self, z: Tensor) -> Tensor:
        return self.factor * self.link._primitive(z)

    def _slope(self, z: Tensor) -> Tensor:
        return self.factor * self.link._slope(z)

    def _curvature(self, z: Tensor) -> Tensor:
        return self.factor * self.link._curvature(z)

    def _divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.factor * self.link._divergence(pred, target)

    def _difference(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.factor * self.link._difference(pred, target)

    def _bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.factor * self.link._bregman(pred, target)

    def _boundary(self, pred: Tensor, upper: bool) -> Tensor:
        return self.factor * self.link._boundary(pred, upper)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.link._inverse(y / self.factor)
