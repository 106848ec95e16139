"""What the processes of a training tell one another."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from ltr.errors import ConfigError

#: Lightning's strategies by which each process holds a part of the weights, or another package takes the steps
PARTED = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy")
#: Lightning's launchers whose processes end with the training, and what they know with them
PASSING = ("_MultiProcessingLauncher",)


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


def check_strategy(strategy: object) -> None:
    """Raise ConfigError for a strategy of Lightning that keeps only a part of the weights in each process.

    Gradients are clipped, divided by the lists of all processes and saved with their weights as one process sees them: of
    parts the norm would be wrong, and what is saved no model.
    """
    name = next((one.__name__ for one in type(strategy).__mro__ if one.__name__ in PARTED), None)
    if name is not None:
        raise ConfigError(
            f"RankingModule: trainer.strategy {name} parts the weights between processes, and ltr clips, divides and saves "
            "them whole; take ddp, and for a model that is too large for it adapters (lora), checkpointing or fewer "
            "batch_tokens"
        )


def check_launcher(strategy: object) -> None:
    """Raise ConfigError for a strategy of Lightning that trains in processes which are made for the training alone.

    Which validation was the best, and what it measured, would end with them: nothing could be reported of the training.
    """
    launcher = getattr(strategy, "launcher", None)
    if launcher is not None and any(one.__name__ in PASSING for one in type(launcher).__mro__):
        raise ConfigError(
            "RankingModule: trainer.strategy starts processes that end with the training (ddp_spawn, ddp_fork, "
            "ddp_notebook), and the results end with them; take ddp, from a script or ltr fit"
        )
