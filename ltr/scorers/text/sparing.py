"""Scorers that compute a few rows at a time, and fewer when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ltr.scorers.base import Scorer
from ltr.scorers.out_of_memory import is_out_of_memory, released

log = logging.getLogger(__name__)


class Sparing(Scorer):
    """What scorers share that cut their batches into micro-batches of so many tokens.

    One's own sets ``checkpointing`` and ``batch_tokens``, and may define ``budget``.
    """

    #: keep no activations for the backward pass, but compute them again
    checkpointing: bool
    #: most tokens computed at once; None for what the device likes
    batch_tokens: int | Literal["auto"] | None

    def budget(self, device: torch.device) -> int:
        """How many tokens are computed at once on a device."""
        own = self.batch_tokens
        return own if isinstance(own, int) else 2048 if device.type == "cpu" else 32768

    def sparing(self, compute: Callable[[], Tensor]) -> Tensor:
        """What ``compute`` gives; where memory runs out in training, what it gives with less of it."""
        retries = 0
        while True:
            try:
                return compute()
            except (RuntimeError, MemoryError) as error:
                # in scoring, ltr.inference.score tries again
                if not torch.is_grad_enabled() or not is_out_of_memory(error) or not self.spare(retries):
                    raise
            released()
            retries += 1

    def fewer_tokens(self, tokens: int | None = None) -> int | None:
        half = (tokens or self.budget(next(self.parameters()).device)) // 2
        return half if half >= 64 else None

    def spare(self, retries: int = 0) -> bool:
        """Need less memory for training from now on, and say so; False where nothing is left to spare.

        The first time smaller micro-batches may do. Their activations together stay as they are, so the next step is
        to keep none (``checkpointing``).

        Args:
            retries: how often the batch at hand has failed before.
        """
        if retries and not self.checkpointing:
            self.checkpointing = True
            log.warning("out of memory: training goes on with checkpointing, about a third slower")
            return True
        tokens = self.fewer_tokens()
        if tokens is not None:
            self.batch_tokens = tokens
            log.warning("out of memory: training goes on with %d tokens at once", tokens)
            return True
        if not self.checkpointing:
            return self.spare(retries=1)
        return False
