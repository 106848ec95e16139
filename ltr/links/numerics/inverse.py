"""The inverse of an increasing function, by bisection, for links that define none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: scores are searched up to this size
REACH = 1e12


def solved(value: Callable[[Tensor], Tensor], ends: tuple[float, float], y: Tensor) -> Tensor:
    """The score where ``value`` is y: infinite at the ends of its range, NaN outside.

    The search runs over z = sinh(u), which is fine near 0 and still reaches far out, and takes a fixed number of
    steps, so that a GPU never waits for an answer.

    Args:
        value: an increasing function, element by element.
        ends: (lowest, highest) value that it takes or approaches.
        y: values to look for.
    """
    bound = float(torch.asinh(torch.tensor(REACH)))
    low, high = torch.full_like(y, -bound), torch.full_like(y, bound)
    for _ in range(64):
        middle = (low + high) / 2
        below = value(torch.sinh(middle)) < y
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    z = torch.sinh((low + high) / 2)
    bottom, top = ends
    z = torch.where(y == bottom, -torch.inf, torch.where(y == top, torch.inf, z))
    return torch.where((y < bottom) | (y > top), torch.nan, z)
