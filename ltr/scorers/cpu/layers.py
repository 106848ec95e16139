"""An encoder's layer for scoring on a CPU: few large operations on one row of tokens, no padding, no gradients.

Weights are kept in the order in which the processor's matrix routines (oneDNN) read them, query, key and value as one
product, and the activation is part of the product before it. With threads that have documents of their own, all of it
is 1.5 x as fast as length-sorted batches through transformers' modules, in float32 and in bfloat16 (MiniLM-L6, 81 tokens a
document, two AVX-512 cores: ``benchmarks/speed/rerank.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, pad, relu

from ltr.machine.threads import unforked
from ltr.scorers.cpu.block_attention import LONGEST, block_attention
from ltr.scorers.cpu.torch_private import product, product_plus, reordered, reorders
from ltr.scorers.text.layer_parts import Parts
from ltr.scorers.text.microbatches import Runs
from ltr.scorers.text.row_attention import attend

#: transformers' names of activations -> oneDNN's name and variant
ACTIVATIONS = {
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
}


class Product:
    """``activation(x W^T + b)`` in one dtype.

    Args:
        weight: [out, in].
        bias: [out].
        dtype: of the computation and of the result.
        activation: a key of ``ACTIVATIONS``, or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str | None = None):
        self.dtype, self.activation = dtype, activation
        # copies: the model that they come from may train on
        self.bias = bias.detach().to(dtype, copy=True).contiguous()
        self._keep(weight.detach().to(dtype, copy=True).contiguous())

    def _keep(self, weight: Tensor) -> None:
        self._reordered = reorders(self.dtype)
        self.weight = unforked(partial(reordered, weight)) if self._reordered else weight

    def __getstate__(self) -> dict[str, Any]:
        # weights in oneDNN's order cannot be copied or sent to another process
        plain = unforked(self.weight.to_dense) if self._reordered else self.weight
        return {**self.__dict__, "weight": plain}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._keep(self.weight)

    def __call__(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if self._reordered:
            name, variant = ACTIVATIONS[self.activation] if self.activation else ("none", "")
            return product(x, self.weight, self.bias, name, variant)
        return activated(linear(x, self.weight, self.bias), self.activation)

    def adds(self, dtype: torch.dtype) -> bool:
        """Whether ``plus`` takes numbers of a dtype."""
        return self._reordered and self.activation is None and dtype == self.dtype

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """``x W^T + b + other`` in one operation, for ``other`` of a dtype that it ``adds``."""
        return product_plus(x.to(self.dtype), self.weight, self.bias, other)


def activated(x: Tensor, activation: str | None) -> Tensor:
    """An activation by transformers' name; None for none."""
    if activation is None:
        return x
    name, variant = ACTIVATIONS[activation]
    return relu(x) if name == "relu" else gelu(x, approximate=variant)


class FirstTokens:
    """Attention of each document's first token, without the keys and values of the others.

    A token's key is ``W x`` for each head, so ``q . (W x) = (W^T q) . x``: the query takes up the weight once instead of
    every token (the key's bias adds the same to all tokens, and softmax takes it out again). Likewise the weighted sum of
    values is the value of the weighted sum. Spares two products and the attention of all other tokens in the
    last layer: 1.12 x as fast for 6 layers.

    Args:
        weight: [3 hidden, hidden] of query, key and value together; see ``joint``.
        bias: [3 hidden].
        heads: of the attention. All is computed in float32, as it is little.
    """

    def __init__(self, weight: Tensor, bias: Tensor, heads: int):
        query, key, value = weight.float().chunk(3)
        self.heads = heads
        first, _, last = bias.float().chunk(3)
        self.query = Product(query, first, torch.float32)
        self.key = key.unflatten(0, (heads, -1)).clone()
        self.value = value.unflatten(0, (heads, -1)).transpose(1, 2).contiguous()
        self.value_bias = last.contiguous()

    def __call__(self, states: Tensor, runs: Runs, starts: Tensor) -> Tensor:
        """[docs, hidden] from states [tokens, hidden]."""
        query = self.query(states[starts]).unflatten(1, (self.heads, -1)).transpose(0, 1)
        folded = torch.bmm(query, self.key).transpose(0, 1)
        sums, doc, start = [], 0, 0
        for docs, length in runs:
            own = states[start : start + docs * length].view(docs, length, -1)
            weights = torch.bmm(folded[doc : doc + docs], own.transpose(1, 2)).softmax(2)
            sums.append(torch.bmm(weights, own))
            doc, start = doc + docs, start + docs * length
        values = torch.bmm(torch.cat(sums).transpose(0, 1), self.value)
        return values.transpose(0, 1).flatten(1).add_(self.value_bias)


#: what turns [tokens, in] into [tokens, out]: a ``Product``, or one on int8 weights
Apply = Callable[[Tensor], Tensor]


@dataclass
class FusedLayer:
    """One layer of an encoder.

    The sums that run from layer to layer are rounded to the dtype of the products (``keeps``), once each, by the products that
    make them. In bfloat16 that is 1.2 x as fast as sums in float32, which need six passes more, and as near to float32:
    Kendall's tau .991 for .992, scores .0017 off on the mean either way (a cross-encoder of six layers; transformers' own modules
    in bfloat16 have .987 and .0020).

    Attributes:
        project: query, key and value in one product; in the last layer ``FirstTokens``, since nobody reads what comes
            out of it for other tokens.
        join, widen, narrow: the other products of the layer; ``widen`` holds the activation.
        norms: weight and bias of both layer normalisations.
        eps: of the normalisations.
        heads: of the attention.
        beside: from the input of ``widen`` to what is added to the result of ``narrow``; None for nothing.
        precise: the same layer in a higher precision, which computes the rows that need it; None for no such rows.
    """

    project: Apply | FirstTokens
    join: Apply
    widen: Apply
    narrow: Apply
    norms: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    eps: float
    heads: int
    beside: Apply | None = None
    precise: FusedLayer | None = None

    @property
    def keeps(self) -> torch.dtype:
        """What the sums that run from layer to layer are kept in: float32 where products do not add them."""
        plain = self.beside is None and self.precise is None
        if plain and isinstance(self.join, Product) and isinstance(self.narrow, Product):
            dtype = self.join.dtype
            if self.join.adds(dtype) and self.narrow.adds(dtype):
                return dtype
        return torch.float32

    def __call__(self, states: Tensor, runs: Runs, starts: Tensor, careful: Tensor | None = None) -> Tensor:
        """The states [tokens, hidden] after the layer; after the last one those of first tokens, [docs, hidden].

        Args:
            states: before it, in what it ``keeps`` or in float32.
            runs: the documents of the row.
            starts: [docs] where they start.
            careful: [rows] what ``precise`` computes; None for no rows.
        """
        if isinstance(self.project, FirstTokens):
            states = states.float()  # few rows from here on
            return self._after(self.project(states, runs, starts), states[starts])
        projected = self.project(states)
        if self.precise is None or careful is None:
            return self._after(attended(projected, runs, self.heads), states)
        own = states[careful]
        if self.precise.project is not self.project:
            projected[careful] = self.precise.project(own).to(projected.dtype)  # type: ignore[call-arg, operator]
        values = attended(projected, runs, self.heads)
        states_after = self._after(values, states)
        states_after[careful] = self.precise._after(values[careful], own)
        return states_after

    def _after(self, values: Tensor, states: Tensor) -> Tensor:
        """The rest of the layer behind attention, where each row is by itself."""
        states = self._normed(_sum(self.join, values, states), 0)
        sums = _sum(self.narrow, self.widen(states), states)
        return self._normed(sums if self.beside is None else sums.add_(self.beside(states)), 1)

    def _normed(self, sums: Tensor, which: int) -> Tensor:
        return layer_norm(sums, sums.shape[-1:], *self.norms[which], self.eps)


def _sum(apply: Apply, x: Tensor, states: Tensor) -> Tensor:
    """What a product gives for ``x``, plus the states, in their dtype."""
    if isinstance(apply, Product) and apply.adds(states.dtype):
        return apply.plus(x, states)
    return apply(x).float().add_(states)


def kept_in(layers: Sequence[FusedLayer]) -> torch.dtype:
    """What the sums that run through layers are kept in: float32 where they do not all keep them alike."""
    kinds = {layer.keeps for layer in layers}
    return kinds.pop() if len(kinds) == 1 else torch.float32


def attended(projected: Tensor, runs: Runs, heads: int) -> Tensor:
    """Attention of each token to its own document.

    Args:
        projected: queries, keys and values; queries are divided by the root of their width already (``joint``).
        runs: the documents of the row; there may be rows behind them, which get zeros.
        heads: number of them.

    Shape:
        projected [tokens, 3 hidden]; result [tokens, hidden].
    """
    short = max(length for _, length in runs) <= LONGEST
    if short and projected.dtype == torch.bfloat16 and reorders(projected.dtype):
        return block_attention(projected, runs, heads)
    tokens = sum(docs * length for docs, length in runs)
    query, key, value = projected[:tokens].unflatten(1, (3, heads, -1)).unbind(1)
    output = attend(query, key, value, runs, scale=1.0).flatten(1)
    return pad(output, (0, 0, 0, len(projected) - tokens))


def layer_of(parts: Parts, dtype: torch.dtype, activation: str, heads: int, last: bool) -> FusedLayer:
    """A layer of an encoder with its weights in one dtype; ``last``: only first tokens come out of it."""
    weight, bias = joint(parts, heads)
    return FusedLayer(
        FirstTokens(weight, bias, heads) if last else Product(weight, bias, dtype),
        Product(parts.joined.weight, parts.joined.bias, dtype),
        Product(parts.widen.weight, parts.widen.bias, dtype, activation),
        Product(parts.narrow.weight, parts.narrow.bias, dtype),
        norms_of(parts),
        parts.after_attention.eps,
        heads,
    )


def joint(parts: Parts, heads: int) -> tuple[Tensor, Tensor]:
    """Weight [3 hidden, hidden] and bias of query, key and value together; queries are divided by the root of their width."""
    scale = (len(parts.query.weight) / heads) ** -0.5
    query, others = parts.query, (parts.key, parts.value)
    weight = torch.cat([query.weight.detach() * scale, *(p.weight.detach() for p in others)])
    return weight, torch.cat([query.bias.detach() * scale, *(p.bias.detach() for p in others)])


def norms_of(parts: Parts) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Weight and bias of both normalisations, in float32."""
    first, second = (
        (n.weight.detach().float().clone(), n.bias.detach().float().clone())
        for n in (parts.after_attention, parts.after_narrow)
    )
    return first, second
