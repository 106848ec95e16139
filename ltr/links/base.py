"""What every link can do, and the derivatives that connect its functions."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links.autograd import floating, known, wide
from ltr.links.focus import region

if TYPE_CHECKING:
    from ltr.links.combined import Scaled, Sum

#: below this share of its peak a slope counts as dead: learning all but stops there
DEAD = 0.01


class Link:
    """An increasing function h of a score; its slope h' says how much accuracy each score level gets.

    Links are values: frozen, hashable, comparable, picklable, and their ``repr`` is Python that makes them again.
    They add up and take positive factors: ``Sigmoid(center=2) + 0.1 * Identity()``.

    Every method takes tensors of any shape that broadcast (or Python numbers, as float64), works element by element,
    in float64 where the device has it, and returns float64 for float64 and float32 for anything else. Derivatives are
    exact functions of the link, not those of the arithmetic, and can be taken again. Gradients that return to float16
    scores saturate at 65504.

    A link of your own derives from ``ltr.links.ShapedLink``, which says what to define.

    Note: values and gradients are finite for scores up to 1e4 in size at default width and scale.
    Source: G. I. Shamir and M. K. Warmuth, Selective Matching Losses, arXiv 2506.04446 (2025).
    """

    def __call__(self, z: Tensor | float) -> Tensor:
        """h(z), with gradient h'(z)."""
        return known(self._value, (self.slope,), z)

    def primitive(self, z: Tensor | float) -> Tensor:
        """H(z) with H' = h."""
        return known(self._primitive, (self,), z)

    def slope(self, z: Tensor | float) -> Tensor:
        """h'(z) >= 0: the sensitivity. A small error e at score z costs about h'(z) e² / 2."""
        return known(self._slope, (self.curvature,), z)

    def curvature(self, z: Tensor | float) -> Tensor:
        """h''(z)."""
        (z,) = floating(z)
        return self._curvature(wide(z)).to(z.dtype)

    def divergence(self, pred: Tensor | float, target: Tensor | float) -> Tensor:
        """The matching loss ∫ from target to pred of h(z) - h(target) dz: never negative, 0 at the target.

        It is H(pred) - H(target) - (pred - target) h(target), the Bregman divergence of the primitive, evaluated
        without cancellation. Gradient to ``pred``: ``difference(pred, target)``; to ``target``:
        ``-slope(target) (pred - target)``.

        Args:
            pred: predicted scores.
            target: the scores they should have.
        """
        return known(self._divergence, (self.difference, self._toward_target), pred, target)

    def difference(self, pred: Tensor | float, target: Tensor | float) -> Tensor:
        """h(pred) - h(target), accurate also where both nearly agree."""
        return known(self._difference, (lambda p, t: self.slope(p), lambda p, t: -self.slope(t)), pred, target)

    def matched(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """``divergence`` and its derivative ``difference`` at once, without gradients, for millions of pairs of scores.

        Links for which single precision is enough compute both in it (float32 in, a relative error of about 1e-6 out)
        and share what they have in common; others as ever in float64.

        Args:
            pred: predicted scores, float32 or float64.
            target: the scores they should have, of the same shape and type.

        >>> from ltr.links import Identity
        >>> Identity().matched(torch.tensor([3.0]), torch.tensor([1.0]))
        (tensor([2.]), tensor([2.]))
        """
        p, t = wide(pred), wide(target)
        return self._divergence(p, t).to(pred.dtype), self._difference(p, t).to(pred.dtype)

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """h(z) and h'(z) at once, without gradients, for millions of scores; precise as ``matched`` is.

        The slope may be one number for all scores, where it is.

        >>> from ltr.links import Exp
        >>> Exp().value_and_slope(torch.zeros(2))
        (tensor([1., 1.]), tensor([1., 1.]))
        """
        z64 = wide(z)
        return self._value(z64).to(z.dtype), self._slope(z64).to(z.dtype)

    def bregman(self, pred: Tensor | float, target: Tensor | float) -> Tensor:
        """h(pred) - h(target) - (pred - target) h'(target) >= 0, the Bregman divergence of a convex link itself.

        Raises:
            ConfigError: the link is not convex, so that this could be negative.
        """
        if not self.convex:
            raise ConfigError(
                f"{self!r}: bregman needs a convex link (Identity, Exp, Softplus, Piecewise with rising slopes, sums of "
                "these); a composite loss takes any link in its proper form"
            )
        partials = (
            lambda p, t: self.slope(p) - self.slope(t),
            lambda p, t: (t - p) * self.curvature(t),
        )
        return known(self._bregman, partials, pred, target)

    def boundary(self, pred: Tensor | float, upper: bool) -> Tensor:
        """The divergence from an infinite target: its limit where h(target) goes to an end of the link's range.

        That is ∫ from pred to ∞ of high - h(z) dz (``upper``), or from -∞ to pred of h(z) - low dz; gradient
        ``h(pred) - high`` or ``h(pred) - low``. For the sigmoid: the logistic loss of labels 1 and 0.

        Args:
            pred: predicted scores.
            upper: the highest end of the range (True) or the lowest.

        Raises:
            ConfigError: the range is unbounded there, and so is the limit.

        >>> from ltr.links import Sigmoid
        >>> round(float(Sigmoid().boundary(0.0, upper=True)), 4)    # log 2
        0.6931
        """
        end = self.range[int(upper)]  # torch 2.10's compiler takes no bool for a place
        if math.isinf(end):
            raise ConfigError(
                f"{self!r}: boundary needs a link that is bounded {'above' if upper else 'below'}, its range is {self.range}"
            )

        def rest(z: Tensor) -> Tensor:
            return known(lambda x: self._value(x) - end, (self.slope,), z)

        return known(lambda z: self._boundary(z, upper), (rest,), pred)

    def inverse(self, y: Tensor | float) -> Tensor:
        """The score z with h(z) = y: infinite at the ends of the range that h only approaches, NaN outside it."""
        (y,) = floating(y)
        # an end of the range that was rounded to float32 is still that end, not a value inside or beyond it
        ends = [(float(torch.tensor(end, dtype=y.dtype)), end) for end in self.range]

        def solve(v: Tensor) -> Tensor:
            for rounded, end in ends:
                v = torch.where(v == rounded, end, v)
            return self._inverse(v)

        return known(solve, (lambda v: 1 / self.slope(self.inverse(v)),), y)

    @property
    def range(self) -> tuple[float, float]:
        """(lowest, highest) value that h takes or approaches; infinite where h is unbounded."""
        raise NotImplementedError

    @property
    def convex(self) -> bool:
        """Whether h is convex, that is, whether its slope never falls."""
        raise NotImplementedError

    @property
    def smooth(self) -> bool:
        """Whether the slope is continuous; gradients of composite losses jump where it is not."""
        return True

    @property
    def steepest(self) -> tuple[float, ...]:
        """Scores where the slope may peak; empty for links whose slope grows without bound."""
        raise NotImplementedError

    def slope_peak(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """The largest slope, a scalar: that of the link, or where it grows without bound (Exp, Sinh) over ``scores``.

        Args:
            scores: predicted scores, any shape.
            mask: bool of the same shape, True for the scores that count.
        """
        (scores,) = floating(scores.detach())
        here = self.slope(scores)
        here = here if mask is None else torch.where(mask, here, 0)
        return torch.cat([here.new_zeros(1), here.flatten(), self.slope(here.new_tensor(self.steepest))]).max()

    def dead_share(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Share of scores, a scalar, where the slope is below 1 % of ``slope_peak``: next to nothing is learned there.

        Args:
            scores: predicted scores, any shape.
            mask: bool of the same shape, True for the scores that count.

        >>> from ltr.links import Sigmoid
        >>> Sigmoid().dead_share(torch.tensor([0.0, 1.0, 20.0, -20.0]))
        tensor(0.5000)
        """
        mask = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
        dead = mask & (self.slope(scores.detach()) < DEAD * self.slope_peak(scores, mask))
        return dead.sum() / mask.sum().clamp(min=1)

    @classmethod
    def focus(
        cls,
        range: Sequence[float] | None = None,
        scores: Sequence[float] | None = None,
        top: float | None = None,
        bottom: float | None = None,
        scale: float = 1.0,
    ) -> Link:
        """A link of this kind whose steep region is a range of scores, or one end of a sample of scores.

        Args:
            range: (low, high), the scores that must be accurate.
            scores: instead of ``range``: a sample of scores, as a list or tensor.
            top: share of that sample, such as 0.2: from its quantile 0.8 to its largest score.
            bottom: share of that sample: from its smallest score to that quantile.
            scale: factor of the link.

        Raises:
            ConfigError: this kind of link has no one steep region, or no range follows from the arguments.

        >>> from ltr.links import Sigmoid
        >>> Sigmoid.focus(range=(1.0, 3.0)).center
        2.0
        """
        low, high = region(cls.__name__, range, scores, top, bottom)
        return cls.focused(low, high, scale)

    #: why ``focus`` does not know what to do
    unfocused = "it has no center and width of its own"

    @classmethod
    def focused(cls, low: float, high: float, scale: float) -> Link:
        """The link of this kind that is steep between two scores, for ``focus``, which checks them."""
        raise ConfigError(
            f"{cls.__name__}.focus: {cls.unfocused}; use Sigmoid, Tanh, Asinh, Exp (high scores), ReverseExp (low "
            "scores), Softplus or Piecewise"
        )

    def __add__(self, other: Link) -> Sum:
        if not isinstance(other, Link):
            return NotImplemented
        from ltr.links.combined import Sum

        return Sum((self, other))

    def __rmul__(self, factor: float) -> Scaled:
        if not isinstance(factor, numbers.Real):
            return NotImplemented
        from ltr.links.combined import Scaled

        return Scaled(self, float(factor))

    __mul__ = __rmul__

    def _toward_target(self, pred: Tensor, target: Tensor) -> Tensor:
        return (target - pred) * self.slope(target)

    # What a kind of link defines (ShapedLink from its shape): plain arithmetic on tensors of one floating type, without thought for gradients
    # (_curvature excepted, which autograd differentiates).
    def _value(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _primitive(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _slope(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _curvature(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def _difference(self, pred: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def _bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def _boundary(self, pred: Tensor, upper: bool) -> Tensor:
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError
