"""A link from any increasing function, integrated and differentiated numerically."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.links.base import Link
from ltr.links.combined import solved
from ltr.links.quadrature import integrate

#: below this distance the slope is integrated, above it the function: the difference of two values would cancel
NEAR = 1e-2
#: the score that stands for infinity
FAR = 1e4
#: how far a function may fall, relative to its size, before it counts as falling: rounding
ROUNDING = 1e-9


@dataclass(frozen=True, repr=False)
class Numeric(Link):
    """A link from any increasing function: its integrals by adaptive quadrature, its slope by autograd.

    Slower than the other links by a factor of about a hundred, and it makes a GPU wait: meant for trying shapes out.
    Divergences are accurate to 1e-9 of their value for smooth functions, to 1e-5 for functions with kinks (Piecewise
    is exact there). The function is tried on scores from -1e4 to 1e4 when the link is made; by then it should have
    reached the ends of its range, if it has any.

    Args:
        function: takes and returns a float64 tensor, element by element, by torch operations; continuous. A function
            that can be imported, or its import path ``"package.module:name"``, gives a link that prints and pickles as
            Python; any other (a lambda) says in its repr that it cannot be made again from there.
        convex: whether its slope never falls, which composite losses in matching form need.
        low: the lowest value it takes or approaches.
        high: the highest.

    Raises:
        ConfigError: the function does not increase, is not convex as declared, leaves its range, cannot be imported,
            or autograd cannot follow it.

    >>> link = Numeric("torch:asinh")
    >>> round(float(link.divergence(1.0, 0.0)), 6)    # 1 asinh 1 - √2 + 1
    0.46716
    """

    function: Callable[[Tensor], Tensor] | str
    convex: bool = False
    low: float = -math.inf
    high: float = math.inf

    _unfocused = "its function stands where it stands"

    def __post_init__(self) -> None:
        if not isinstance(self.function, str):
            if not callable(self.function):
                raise ConfigError(f"Numeric: function must be callable or an import path, got {self.function!r}")
            object.__setattr__(self, "function", import_path(self.function) or self.function)
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        self._probe()

    def __repr__(self) -> str:
        function = repr(self.function)
        if not isinstance(self.function, str):
            code = getattr(self.function, "__code__", None)
            where = f" at {code.co_filename}:{code.co_firstlineno}" if code else ""
            name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
            function = f"<not reproducible: {name.strip('<>')}{where}>"
        options = [("convex", self.convex, False), ("low", self.low, -math.inf), ("high", self.high, math.inf)]
        return f"Numeric({', '.join([function, *(f'{n}={v!r}' for n, v, default in options if v != default)])})"

    @property
    def range(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def steepest(self) -> tuple[float, ...]:
        return ()

    def _probe(self) -> None:
        z = (torch.arange(-1000, 1001, dtype=torch.float64) * 0.0099).sinh()
        try:
            values = self._value(z.clone().requires_grad_())
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{self!r}: function must take a float64 tensor of scores, it raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(values, Tensor) or values.shape != z.shape or values.dtype != z.dtype:
            got = f"{values.dtype} {list(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            raise ConfigError(f"{self!r}: function must return a tensor like its input, float64 [2001], got {got}")
        if not values.requires_grad:
            raise ConfigError(f"{self!r}: function must use torch operations that autograd can follow")
        values = values.detach()
        self._refuse(values.isnan(), z, "must be defined for every score", values)
        self._refuse(falls(values), z[1:], "must increase: a link that falls has no matching loss", values[1:])
        if bool((values == values[0]).all()):
            raise ConfigError(f"{self!r}: function must increase somewhere, got {values[0]:g} everywhere")
        outside = (values < self.low) | (values > self.high)
        self._refuse(outside, z, f"must stay in its declared range [{self.low:g}, {self.high:g}]", values)
        slopes = self._slope(z)
        self._refuse(slopes.isnan() & values.isfinite(), z, "must have a slope that autograd finds", slopes)
        if self.convex:
            self._refuse(falls(slopes), z[1:], "was declared convex, so its slope must never fall", slopes[1:])

    def _refuse(self, wrong: Tensor, z: Tensor, rule: str, values: Tensor) -> None:
        if bool(wrong.any()):
            i = int(wrong.to(torch.uint8).argmax())
            raise ConfigError(f"{self!r}: function {rule}; at score {z[i]:g} got {values[i]:g}")

    def _value(self, z: Tensor) -> Tensor:
        return resolved(self.function)(z) if isinstance(self.function, str) else self.function(z)

    def _slope(self, z: Tensor) -> Tensor:
        return self._derivative(self._value, z)

    def _curvature(self, z: Tensor) -> Tensor:
        return self._derivative(lambda x: self._derivative(self._value, x, keep=True), z, keep=z.requires_grad)

    def _derivative(self, function: Callable[[Tensor], Tensor], z: Tensor, keep: bool = False) -> Tensor:
        with torch.enable_grad():
            x = z if z.requires_grad and keep else z.detach().requires_grad_()
            values = function(x)
            if not values.requires_grad:  # the slope of a straight line
                return torch.zeros_like(z)
            (slope,) = torch.autograd.grad(values.sum(), x, create_graph=keep, materialize_grads=True)
        return slope

    def _along(self, integrand: Callable[[Tensor, Tensor], Tensor], start: Tensor, d: Tensor) -> Tensor:
        """∫₀¹ of integrand(t, start + t d) dt for each element."""
        flat, step = start.flatten(), d.flatten()

        def at(t: Tensor, which: Tensor) -> Tensor:
            return integrand(t, flat[which] + t * step[which])

        def coarse(low: Tensor, high: Tensor, which: Tensor) -> Tensor:
            # what happens at scores of ordinary size, or beside the target, must not be lost in a span of thousands
            ends = torch.stack([low, high]) * step[which] + flat[which]
            left, right = ends.amin(0), ends.amax(0)
            apart = [torch.maximum(left - place, place - right).clamp(min=0) for place in (0.0, flat[which])]
            return right - left > 1 + torch.minimum(*apart) / 2

        return integrate(at, flat.numel(), flat, coarse).view_as(start)

    def _primitive(self, z: Tensor) -> Tensor:
        return z * self._along(lambda t, v: self._value(v), torch.zeros_like(z), z)

    def _divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        d = pred - target
        near = d.abs() <= NEAR
        area = self._along(lambda t, v: (1 - t) * self._slope(v), target, torch.where(near, d, 0))
        # between here and there: the mean height above the target
        height = self._along(lambda t, v: self._value(v), target, torch.where(near, 0, d)) - self._value(target)
        result = torch.where(near, d * d * area, d * height)
        size = d.abs() * torch.maximum(self._value(pred).abs(), self._value(target).abs())
        self._refuse((result < -ROUNDING * size).flatten(), pred.flatten(), "must increase", result.flatten())
        return result

    def _difference(self, pred: Tensor, target: Tensor) -> Tensor:
        d = pred - target
        near = d.abs() <= NEAR
        quotient = self._along(lambda t, v: self._slope(v), target, torch.where(near, d, 0))
        return torch.where(near, d * quotient, self._value(pred) - self._value(target))

    def _bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        d = pred - target
        return d * (self._along(lambda t, v: self._slope(v), target, d) - self._slope(target))

    def _boundary(self, pred: Tensor, upper: bool) -> Tensor:
        return self._divergence(pred, torch.full_like(pred, FAR if upper else -FAR))

    def _inverse(self, y: Tensor) -> Tensor:
        return solved(self, y)


def falls(values: Tensor) -> Tensor:
    """Where a value lies below the one before it, by more than rounding."""
    before, after = values[:-1], values[1:]
    return before - after > ROUNDING * torch.maximum(before.abs(), after.abs())


def import_path(function: Any) -> str | None:
    """``"module:name"`` where ``function`` can be imported from, or None."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", "")
    # torch's own functions do not know their module
    for module in (getattr(function, "__module__", None), "torch"):
        if module and module != "__main__" and name:
            path = f"{module}:{name.rsplit('.')[-1] if module == 'torch' else name}"
            try:
                if resolved(path) is function:
                    return path
            except ConfigError:
                continue
    return None


@functools.lru_cache(maxsize=256)
def resolved(path: str) -> Callable[[Tensor], Tensor]:
    """The function at an import path, ``"package.module:name"`` or ``"package.module.name"``."""
    module_name, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        home: Any = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"Numeric: function must be an import path such as 'torch:asinh', and {path!r} names no module: {error}"
        ) from None
    for part in name.split("."):
        if not hasattr(home, part):
            raise ConfigError(f"Numeric: no function {part!r} in {module_name}; {suggestion(part, public(home))}")
        home = getattr(home, part)
    if not callable(home):
        raise ConfigError(f"Numeric: {path!r} must be a function, got {type(home).__name__}")
    return home


def public(home: Any) -> list[str]:
    """The public callables of a module or class."""
    return [n for n in dir(home) if not n.startswith("_") and callable(getattr(home, n))]
