"""Checkpoint averaging: the mean of the weights of the best validations."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ltr.io.files import beside


class Averager:
    """Keeps the weights of the ``n`` best validations on disk and loads their mean.

    Weights near the end of one training lie in one basin; their mean is often better than each of them (Izmailov et
    al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018).

    Args:
        folder: where the weights lie meanwhile.
        n: how many to keep; 0 keeps none.
        larger: whether larger validation values are better.
    """

    def __init__(self, folder: Path, n: int, larger: bool = True):
        self.folder, self.n, self.larger = Path(folder), n, larger
        #: (value, step) of the kept weights, best first
        self.kept: list[tuple[float, int]] = []

    def offer(self, model: nn.Module, value: float, step: int) -> None:
        """Keep the model's weights if they are among the best so far."""
        if not self.n:
            return
        ranked = sorted([*self.kept, (value, step)], key=lambda entry: entry[0], reverse=self.larger)
        if (value, step) in ranked[: self.n]:
            self.folder.mkdir(parents=True, exist_ok=True)
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
            with beside(self._path(step)) as part:
                save_file(_without_shared(weights), part)
        for _, dropped in ranked[self.n :]:
            self._path(dropped).unlink(missing_ok=True)
        self.kept = ranked[: self.n]

    def load_mean(self, model: nn.Module) -> bool:
        """Load the mean of the kept weights into the model; False when fewer than two are kept."""
        if len(self.kept) < 2:
            return False
        total: dict[str, torch.Tensor] = {}
        for _, step in self.kept:
            for name, tensor in load_file(self._path(step)).items():
                total[name] = total[name] + tensor.double() if name in total else tensor.double()
        own = model.state_dict()
        model.load_state_dict(
            {name: (t / len(self.kept)).to(own[name].dtype) for name, t in total.items()}, strict=False
        )
        return True

    def _path(self, step: int) -> Path:
        return self.folder / f"step={step}.safetensors"


def sums_of(model: nn.Module) -> torch.Tensor:
    """[tensors] sums of the weights that are trained: equal where the weights are."""
    return torch.stack([p.detach().sum(dtype=torch.float32) for p in model.parameters() if p.requires_grad]).cpu()


def _without_shared(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tied weights once: safetensors refuses to store one memory under two names."""
    seen: set[int] = set()
    return {n: t for n, t in weights.items() if t.numel() == 0 or not (t.data_ptr() in seen or seen.add(t.data_ptr()))}  # type: ignore[func-returns-value]
