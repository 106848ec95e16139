"""Dropout that draws from a generator of its own, in threads that run at once.

torch's functions draw from one generator for the whole process: who draws first would decide what all get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Drawing(TorchFunctionMode):
    """Meanwhile what this thread drops is drawn from a generator that begins at a seed, as often as it is entered anew.

    Args:
        seed: decides all draws.
    """

    def __init__(self, seed: int):
        super().__init__()
        self._seed = seed
        self._generator = torch.Generator()

    def around(self, run: Callable[[Tensor], Tensor], piece: Tensor) -> Tensor:
        """What ``run(piece)`` gives."""
        with self:
            return run(piece)

    def __enter__(self) -> Drawing:
        self._generator.manual_seed(self._seed)
        return super().__enter__()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        own = {
            nn.functional.dropout: self.dropout,
            nn.functional.scaled_dot_product_attention: self.attention,
        }.get(function, function)
        return own(*args, **(kwargs or {}))

    def dropout(self, values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """As torch.nn.functional.dropout."""
        if not training or not p:
            return values
        kept = torch.empty_like(values).bernoulli_(1 - p, generator=self._generator)
        kept = kept.div_(1 - p) if p < 1 else kept
        return values.mul_(kept) if inplace else values * kept

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """As torch.nn.functional.scaled_dot_product_attention, which with dropout takes these steps too."""
        if not dropout_p:
            return nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if enable_gqa:
            key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
        if is_causal:
            attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
        return self.dropout(scores.softmax(-1), dropout_p) @ value
