"""The link whose slope the user writes down, region by region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.base import Link
from ltr.links.shaped import number


@dataclass(frozen=True, repr=False)
class Piecewise(Link):
    """A piecewise linear link: exactly the sensitivity that is named, in exactly the regions that are named.

    h(knots[0]) = 0. The slope is slopes[0] below the first knot, slopes[i] between knots i - 1 and i, and the last one
    from the last knot on; 0 is allowed, and makes a region where nothing is learned. ``focus(range=(a, b))`` gives
    slope 1 from a to b and 0.1 outside (times ``scale``).

    Args:
        knots: scores where the slope changes, increasing.
        slopes: one more than knots, each >= 0, at least one > 0.

    Note: the gradient has kinks at the knots. ``inverse`` gives, where the link is flat, the knot below (above, for
        the lowest value).

    >>> Piecewise(knots=[0, 1], slopes=[0, 1, 0])(torch.tensor([-5.0, 0.25, 7.0]))
    tensor([0.0000, 0.2500, 1.0000])
    """

    knots: tuple[float, ...]
    slopes: tuple[float, ...]

    # whether single precision keeps the distances of knots
    _single_precision = True

    def __post_init__(self) -> None:
        knots, slopes = (self._numbers(name, getattr(self, name)) for name in ("knots", "slopes"))
        if not knots or any(a >= b for a, b in pairwise(knots)):
            raise ConfigError(f"Piecewise: knots must be at least one score, each above the last, got {list(knots)}")
        if len(slopes) != len(knots) + 1:
            raise ConfigError(
                f"Piecewise: slopes must be one more than knots (below, between, above): {len(knots) + 1}, got {len(slopes)}"
            )
        if min(slopes) < 0 or max(slopes) == 0:
            raise ConfigError(f"Piecewise: slopes must not be negative and not all 0, got {list(slopes)}")
        object.__setattr__(self, "knots", knots)
        object.__setattr__(self, "slopes", slopes)
        singles = torch.tensor(knots, dtype=torch.float32).tolist()
        gaps = zip(pairwise(knots), pairwise(singles), strict=True)
        object.__setattr__(self, "_single_precision", all(abs((d - c) / (b - a) - 1) < 1e-6 for (a, b), (c, d) in gaps))

    @staticmethod
    def _numbers(name: str, values: Sequence[float]) -> tuple[float, ...]:
        if not isinstance(values, (tuple, list)):
            raise ConfigError(f"Piecewise: {name} must be a list of numbers, got {values!r}")
        return tuple(number("Piecewise", f"each of {name}", v) for v in values)

    def __repr__(self) -> str:
        return f"Piecewise(knots={self.knots!r}, slopes={self.slopes!r})"

    @property
    def range(self) -> tuple[float, float]:
        heights = self._heights
        return (-math.inf if self.slopes[0] else 0.0), (math.inf if self.slopes[-1] else heights[-1])

    @property
    def convex(self) -> bool:
        return all(a <= b for a, b in pairwise(self.slopes))

    @property
    def smooth(self) -> bool:
        return len(set(self.slopes)) == 1

    @property
    def steepest(self) -> tuple[float, ...]:
        return (self.knots[0] - 1, *self.knots)

    @property
    def _heights(self) -> tuple[float, ...]:
        """h at the knots."""
        heights = [0.0]
        for low, high, slope in zip(self.knots, self.knots[1:], self.slopes[1:], strict=False):
            heights.append(heights[-1] + slope * (high - low))
        return tuple(heights)

    @property
    def _regions(self) -> list[tuple[float, float, float]]:
        """(low, high, slope) of each region that is not flat."""
        ends = (-math.inf, *self.knots, math.inf)
        return [r for r in zip(ends, ends[1:], self.slopes, strict=False) if r[2] > 0]

    def _value(self, z: Tensor) -> Tensor:
        return self._difference(z, torch.full_like(z, self.knots[0]))

    def _primitive(self, z: Tensor) -> Tensor:
        # h is 0 at the first knot, so the divergence from there is the integral of h from there
        return self._divergence(z, torch.full_like(z, self.knots[0]))

    def _slope(self, z: Tensor) -> Tensor:
        knots = torch.tensor(self.knots, dtype=z.dtype, device=z.device)
        slopes = torch.tensor(self.slopes, dtype=z.dtype, device=z.device)
        return slopes[torch.bucketize(z.contiguous(), knots, right=True)]

    def _curvature(self, z: Tensor) -> Tensor:
        return 0 * z

    def _divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        # the link is a sum of ramps, each rising in one region only, and the divergence the sum of theirs
        total = torch.zeros_like(pred)
        for low, high, slope in self._regions:
            x, y = pred.clamp(low, high), target.clamp(low, high)
            step = self._step(pred, target, x, y)
            total = total + slope * (step * step / 2 + (pred - x) * step)
        return total

    def _difference(self, pred: Tensor, target: Tensor) -> Tensor:
        total = torch.zeros_like(pred)
        for low, high, slope in self._regions:
            total = total + slope * self._step(pred, target, pred.clamp(low, high), target.clamp(low, high))
        return total

    def matched(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if pred.dtype == torch.float64 or not self._single_precision:
            return super().matched(pred, target)
        divergence, difference = torch.zeros_like(pred), torch.zeros_like(pred)
        for low, high, slope in self._regions:
            inside = pred.clamp(low, high)
            step = target.clamp(low, high).neg_().add_(inside)
            difference.add_(step, alpha=slope)
            # all terms of all regions have one sign: nothing cancels
            divergence.addcmul_(torch.sub(pred, inside, out=inside).add_(step, alpha=0.5), step, value=slope)
        return divergence, difference

    @staticmethod
    def _step(pred: Tensor, target: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.where((x == pred) & (y == target), pred - target, x - y)

    def _bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        # a straight line plus one hinge per knot
        total = torch.zeros_like(pred)
        for knot, left, right in zip(self.knots, self.slopes, self.slopes[1:], strict=False):
            u, v = pred - knot, target - knot
            total = total + (right - left) * torch.where(v >= 0, (-u).clamp(min=0), u.clamp(min=0))
        return total

    def _boundary(self, pred: Tensor, upper: bool) -> Tensor:
        # a bounded end is reached at its knot
        return self._divergence(pred, torch.full_like(pred, self.knots[-1 if upper else 0]))

    def _inverse(self, y: Tensor) -> Tensor:
        heights = self._heights
        below, above = self.slopes[0], self.slopes[-1]
        z = torch.full_like(y, self.knots[0])
        for low, high, base, slope in zip(self.knots, self.knots[1:], heights, self.slopes[1:], strict=False):
            if slope:
                z = z + ((y - base) / slope).clamp(0, high - low)
            else:
                z = torch.where(y > base, z + (high - low), z)
        bottom, top = (y - heights[0]).clamp(max=0), (y - heights[-1]).clamp(min=0)
        z = z + (bottom / below if below else torch.where(bottom < 0, torch.nan, 0))
        return z + (top / above if above else torch.where(top > 0, torch.nan, 0))

    @classmethod
    def focused(cls, low: float, high: float, scale: float) -> Piecewise:
        return cls((low, high), (0.1 * scale, scale, 0.1 * scale))
