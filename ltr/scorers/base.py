"""What every scorer is: a batch of lists in, one score per document out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Scorer(nn.Module):
    """Gives every document of a batch a score: raw (no activation), float32, larger is better.

    Threads may score at once with one scorer: nothing in it changes while it scores.

    Shape:
        ``scorer(batch)`` returns [lists, docs]; places without a document (``~batch.mask``) hold 0.
    """

    def forward(self, batch: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define forward(batch) -> scores [lists, docs]")

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by part, for learning rates of their own; a part may be empty."""
        return {"encoder": [], "head": [p for p in self.parameters() if p.requires_grad]}

    def fused(self, dtype: torch.dtype) -> Scorer | None:
        """A scorer for the CPU that gives the same scores from fewer operations, or None where there is none."""
        return None

    def fewer_tokens(self, tokens: int | None = None) -> int | None:
        """How many tokens to compute at once when memory does not hold ``tokens``; None where fewer would not help.

        A scorer that gives numbers takes them as a second argument of ``forward``. It stays as it is.

        Args:
            tokens: what was tried; None for what the scorer takes by itself.
        """
        return None

    @property
    def saved(self) -> nn.Module:
        """The module whose weights stand in ``model.safetensors`` of a saved model."""
        return self
