"""How checkpoints are written, and what they carry so that a training goes on where it stopped."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from ltr.errors import ConfigError, DataError
from ltr.io.files import replacing


class CheckpointFiles(TorchCheckpointIO):
    """Writes checkpoints as ltr writes all files, beside their place, to the disk, then renamed; and says what it cannot read."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replacing(path, "wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        try:
            return super().load_checkpoint(path, *args, **options)
        # torch says so of a file that is cut short, of one that is no archive, and of one that holds more than plain values
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            said = str(error).strip().split("\n")[0][:200]
            raise DataError(
                f"{path}: not a checkpoint of a training, which holds tensors and plain values alone: {said}; remove it to "
                "begin this training anew"
            ) from error


def refuse_requeued(folder: Path) -> None:
    """Lightning would start a fresh training on SLURM from a checkpoint that it left of another. Raises ConfigError."""
    left = sorted(folder.glob("hpc_ckpt_*.ckpt"))
    if left and SLURMEnvironment.detect():
        raise ConfigError(
            f"RunFolder: on SLURM Lightning would start this training from {left[-1]}, which belongs to another; move it "
            "away, or set trainer.default_root_dir to another folder"
        )


def random_states() -> dict[str, Tensor]:
    """The states of the random numbers that dropout draws."""
    device = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {}
    return {"cpu": torch.get_rng_state(), **device}


def set_random_states(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(states["cuda"].cpu())
