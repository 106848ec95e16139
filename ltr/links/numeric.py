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
from ltr.links.autograd import derivative
from ltr.links.base import Link
from ltr.links.checks import FAR, check_increasing, check_range, decreases, evaluated, grid, not_negative, refuse
from ltr.links.numerics import quadrature
from ltr.links.numerics.inverse import solved


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

    # text comes first: jsonargparse under Python 3.13 writes it as an object that it does not know otherwise
    function: str | Callable[[Tensor], Tensor]
    convex: bool = False
    low: float = -math.inf
    high: float = math.inf

    unfocused = "its function stands where it stands"

    def __post_init__(self) -> None:
        if not isinstance(self.function, str):
            if not callable(self.function):
                raise ConfigError(f"Numeric: function must be callable or an import path, got {self.function!r}")
            object.__setattr__(self, "function", import_path(self.function) or self.function)
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        self._try()

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

    def _try(self) -> None:
        who, z = f"{self!r}: function", grid()
        values = evaluated(who, self._value, z.clone().requires_grad_())
        if not values.requires_grad:
            raise ConfigError(f"{who} must use torch operations that autograd can follow")
        values = values.detach()
        refuse(who, "must be defined for every score", values.isnan(), z, values)
        check_increasing(who, z, values)
        check_range(who, self.range, z, values)
        slopes = self._slope(z)
        refuse(who, "must have a slope that autograd finds", slopes.isnan() & values.isfinite(), z, slopes)
        if self.convex:
            refuse(who, "was declared convex, so its slope must never fall", decreases(slopes), z[1:], slopes[1:])

    def _value(self, z: Tensor) -> Tensor:
        return resolved(self.function)(z) if isinstance(self.function, str) else self.function(z)

    def _slope(self, z: Tensor) -> Tensor:
        return derivative(self._value, z)

    def _curvature(self, z: Tensor) -> Tensor:
        return derivative(self._slope, z)

    def _primitive(self, z: Tensor) -> Tensor:
        return quadrature.primitive(self._value, z)

    def _divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        result = quadrature.divergence(self._value, self._slope, pred, target, pred - target)
        return not_negative(f"{self!r}: function", self._value, pred, target, result)

    def _difference(self, pred: Tensor, target: Tensor) -> Tensor:
        return quadrature.difference(self._value, self._slope, pred, target, pred - target)

    def _bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        return quadrature.bregman(self._slope, target, pred - target)

    def _boundary(self, pred: Tensor, upper: bool) -> Tensor:
        return self._divergence(pred, torch.full_like(pred, FAR if upper else -FAR))

    def _inverse(self, y: Tensor) -> Tensor:
        return solved(self._value, self.range, y)


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
