"""What one layer of an encoder is made of, whatever transformers calls it: the one place that knows their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Parts:
    """The modules of a layer that normalises after each of its two sums.

    Attributes:
        query, key, value: projections of the layer's input.
        joined: projection of what attention gives.
        widen, narrow: the two products of the feed-forward part.
        after_attention, after_narrow: layer normalisations of the sums.
        attention: module that knows whether it trains.
        dropout: of attention weights, while training.
        finish: (attended values, states that came in), both [rows, hidden] -> states that leave the layer, by the modules'
            own calls, dropout included.
    """

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    joined: nn.Linear
    after_attention: nn.LayerNorm
    widen: nn.Linear
    narrow: nn.Linear
    after_narrow: nn.LayerNorm
    attention: nn.Module
    dropout: float
    finish: Callable[[Tensor, Tensor], Tensor]


def _bert(layer: Any) -> Parts:
    own, out = layer.attention.self, layer.attention.output

    def finish(attended: Tensor, states: Tensor) -> Tensor:
        return layer.feed_forward_chunk(out(attended, states))

    return Parts(
        own.query, own.key, own.value, out.dense, out.LayerNorm,
        layer.intermediate.dense, layer.output.dense, layer.output.LayerNorm, own, own.dropout.p, finish,
    )  # fmt: skip


def _distilbert(layer: Any) -> Parts:
    own, wide = layer.attention, layer.ffn

    def finish(attended: Tensor, states: Tensor) -> Tensor:
        states = layer.sa_layer_norm(own.out_lin(attended) + states)
        return layer.output_layer_norm(wide(states) + states)

    return Parts(
        own.q_lin, own.k_lin, own.v_lin, own.out_lin, layer.sa_layer_norm,
        wide.lin1, wide.lin2, layer.output_layer_norm, own, own.dropout.p, finish,
    )  # fmt: skip


#: model type -> the parts of one of its layers
PARTS: dict[str, Callable[[Any], Parts]] = {
    **dict.fromkeys(("bert", "electra", "roberta", "xlm-roberta", "camembert"), _bert),
    "distilbert": _distilbert,
}
