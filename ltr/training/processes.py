"""What the processes of a training tell one another."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def distributed() -> bool:
    """Whether several processes work together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def agreed(device: torch.device, *wishes: bool) -> list[bool]:
    """Whether any process has each wish, so that all do the same at the same step."""
    if not distributed():
        return list(wishes)
    flags = torch.tensor(wishes, dtype=torch.float32, device=device)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return (flags > 0).tolist()


def from_all(value: Any) -> list[Any]:
    """A value of each process, that of the first process first."""
    if not distributed():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
