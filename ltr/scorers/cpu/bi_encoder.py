"""A bi-encoder made for encoding on a CPU: the same vectors as the model it comes from, from fewer operations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ltr.batch import TokenRows
from ltr.errors import ConfigError
from ltr.machine.threads import in_threads, threads_for
from ltr.scorers.cpu.cross_encoder import (
    TOKENS,
    activation_name,
    activation_of,
    embedded,
    heads_of,
    parts_of,
    spare_rows,
    without_layers,
)
from ltr.scorers.cpu.layers import ACTIVATIONS, FusedLayer, kept_in, layer_of
from ltr.scorers.retrievers.vectors import VectorScorer, pooled
from ltr.scorers.text.layer_parts import PARTS
from ltr.scorers.text.microbatches import filled, row


class FusedBiEncoder(VectorScorer):
    """Encodes as the bi-encoder that it was made from does, on a CPU and without gradients.

    Args:
        like: the bi-encoder: its prompts, pooling, similarity, scale and shift.
        model: its transformer without layers, in float32.
        layers: of the encoder, in order.
        precision: what the layers compute in: ``float32`` or ``bfloat16``.
        batch_tokens: most tokens that one thread computes at once; None for ``TOKENS``.
    """

    def __init__(
        self,
        like: VectorScorer,
        model: nn.Module,
        layers: Sequence[FusedLayer],
        precision: str,
        batch_tokens: int | None = None,
    ):
        super().__init__()
        self.model = model.requires_grad_(False)
        self.layers, self.precision = list(layers), precision
        self.batch_tokens = TOKENS if batch_tokens is None else batch_tokens
        self.source, self.revision, self.prompts = like.source, like.revision, like.prompts
        self.usual_length, self.usual_query_length = like.usual_length, like.usual_query_length
        self.pooling, self.similarity, self.truncated = like.pooling, like.similarity, like.truncated
        scale, shift = like.log_scale, like.shift
        self.register_buffer("log_scale", None if scale is None else scale.detach().float().clone())
        self.register_buffer("shift", None if shift is None else shift.detach().float().clone())
        self.eval()

    def train(self, mode: bool = True) -> FusedBiEncoder:
        """Stays in evaluation mode: it encodes, and nothing else."""
        return super().train(False)

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def computes_in(self) -> str:
        return self.precision

    def for_scoring(self, device: torch.device, precision: str | None) -> FusedBiEncoder:
        """As it is: it stays on the CPU, in the precision that it was made in. Raises ConfigError for another."""
        own = {"float32": "32", "bfloat16": "bf16"}[self.precision]
        if precision not in (None, "auto", own) or device.type != "cpu":
            raise ConfigError(
                f"FusedBiEncoder: was made for the CPU in precision {own} and cannot become {precision} on {device}; make it "
                "anew from its model"
            )
        return self

    def fewer_tokens(self, tokens: int | None = None) -> int | None:
        half = (tokens or self.batch_tokens) // 2
        return half if half >= 64 else None

    def vectors(self, rows: TokenRows, tokens: int | None) -> Tensor:
        threads = threads_for(int(rows.lengths.sum()))
        most = min(tokens or self.batch_tokens, -(-int(rows.lengths.sum()) // threads) + int(rows.lengths.max()))
        pieces = filled(rows.lengths, most)
        with torch.inference_mode():
            found = torch.cat(in_threads(partial(self._pooled, rows), pieces, threads))
            return found[torch.cat(pieces).argsort()]

    def _pooled(self, rows: TokenRows, piece: Tensor) -> Tensor:
        # both are set for each thread
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            line = row(rows, piece)
            states = embedded(self.model, line)
            states = pad(states, (0, 0, 0, spare_rows(len(states)))).to(kept_in(self.layers))
            for layer in self.layers:
                states = layer(states, line.runs, line.starts)
            return states.float() if self.pooling == "first" else pooled(states, line, self.pooling)


def fused(scorer: VectorScorer, network: Any, dtype: torch.dtype, batch_tokens: int | None) -> FusedBiEncoder | None:
    """A bi-encoder for the CPU, or None where its kind of layer is not known or lies elsewhere.

    Args:
        scorer: left as it is.
        network: its transformer.
        dtype: of the layers.
        batch_tokens: see ``FusedBiEncoder``.
    """
    config = network.config
    known = config.model_type in PARTS and activation_name(config) in ACTIVATIONS
    absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
    here = next(network.parameters()).device.type == "cpu"
    if not (known and absolute and here) or getattr(config, "is_decoder", False):
        return None
    found = parts_of(network)
    first = scorer.pooling == "first"
    layers = [
        layer_of(one, dtype, activation_of(network), heads_of(network), first and one is found[-1]) for one in found
    ]
    name = str(dtype).removeprefix("torch.")
    return FusedBiEncoder(scorer, without_layers(network), layers, name, batch_tokens)
