"""What a function of the user's own is tried on before it is trusted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ltr.errors import ConfigError

Function = Callable[[Tensor], Tensor]

#: functions are tried on scores up to this size; it stands for infinity
FAR = 1e4
#: how far a function may fall, relative to its size, before it counts as falling: rounding
ROUNDING = 1e-9
#: ... and however small it is: rounding of intermediate numbers of size 1
TINY = 1e-14


def grid() -> Tensor:
    """Scores from -1e4 to 1e4, dense around 0."""
    return (torch.arange(-1000, 1001, dtype=torch.float64) * 0.0099).sinh()


def evaluated(who: str, function: Function, z: Tensor) -> Tensor:
    """``function(z)``, when it is a tensor like z."""
    try:
        values = function(z)
    except ConfigError:
        raise
    except Exception as error:  # a function of the user's own may raise whatever it likes
        raise ConfigError(
            f"{who} must take a float64 tensor of scores, it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(values, Tensor) or values.shape != z.shape or values.dtype != z.dtype:
        got = f"{values.dtype} {list(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ConfigError(f"{who} must return a tensor like its input, float64 {list(z.shape)}, got {got}")
    return values


def refuse(who: str, rule: str, wrong: Tensor, z: Tensor, values: Tensor, at: str = "at score") -> None:
    """A ConfigError that shows the first place where something is wrong."""
    if bool(wrong.any()):
        i = int(wrong.to(torch.uint8).argmax())
        raise ConfigError(f"{who} {rule}; {at} {z[i]:g} got {values[i]:g}")


def decreases(values: Tensor) -> Tensor:
    """Where a value lies below the one before it, by more than rounding."""
    before, after = values[:-1], values[1:]
    return before - after > ROUNDING * torch.maximum(before.abs(), after.abs()) + TINY


def check_increasing(who: str, z: Tensor, values: Tensor, at: str = "at score") -> None:
    """Refuse what falls somewhere, or stands still everywhere."""
    refuse(who, "must increase: a link that falls has no matching loss", decreases(values), z[1:], values[1:], at)
    if bool((values == values[0]).all()):
        raise ConfigError(f"{who} must increase somewhere, got {values[0]:g} everywhere")


def check_range(who: str, range: tuple[float, float], z: Tensor, values: Tensor, at: str = "at score") -> None:
    """Refuse what leaves its declared range."""
    low, high = range
    outside = (values < low) | (values > high)
    refuse(who, f"must stay in its declared range [{low:g}, {high:g}]", outside, z, values, at)


def not_negative(
    who: str, value: Function, pred: Tensor, target: Tensor, divergence: Tensor, at: str = "at score"
) -> Tensor:
    """A divergence by quadrature without its rounding below 0; what is more than rounding shows a link that falls."""
    size = torch.maximum(value(pred).abs(), value(target).abs())
    wrong = divergence < -(pred - target).abs() * (ROUNDING * size + TINY)
    refuse(who, "must increase", wrong.flatten(), pred.flatten(), divergence.flatten(), at)
    return divergence.clamp(min=0)
