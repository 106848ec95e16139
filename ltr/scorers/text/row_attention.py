"""Attention within each document of a row of documents that stand one after the other, without padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ltr.scorers.text.microbatches import Runs


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    runs: Runs | None = None,
    bounds: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention in transformers' form; without ``runs`` its usual fused attention.

    Args:
        sliding_window: one more than the distance up to which tokens see each other; None for any distance.
        runs: the documents of the row.
        bounds: see ``attend``.

    Shape:
        query, key, value [1, heads, tokens, width]; result [1, tokens, heads, width].
    """
    if runs is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))
    window = None if sliding_window is None else sliding_window - 1
    return attend(q, k, v, runs, bounds, dropout, scaling, window)[None], None


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    runs: Runs,
    bounds: Tensor | None = None,
    dropout: float = 0.0,
    scale: float | None = None,
    window: int | None = None,
) -> Tensor:
    """Attention of queries to the tokens of their own document.

    Args:
        query: of every token, or of the first token of each document only.
        key: of every token.
        value: of every token.
        runs: the documents of the row.
        bounds: [docs + 1] int32 where documents start and end, for one fused kernel over all of them (``fused_for``); None
            takes documents of equal length together.
        dropout: of attention weights.
        scale: of the products; None for one over the root of width.
        window: largest distance at which tokens see each other.

    Shape:
        query [tokens or docs, heads, width]; key, value [tokens, heads, width]; result as query.
    """
    fused = fused_for(query) if bounds is not None and not dropout else None
    if fused is not None:
        longest, docs = max(length for _, length in runs), len(bounds) - 1  # type: ignore[arg-type]
        one = len(query) == docs  # a row of documents of one token each is the same either way
        starts = torch.arange(docs + 1, dtype=torch.int32, device=query.device) if one else bounds
        sides = (-1, -1) if window is None else (window, window)
        return fused(query, key, value, starts, bounds, 1 if one else longest, longest, scale=scale, window_size=sides)
    slow = torch.is_grad_enabled() and query.device.type == "cpu" and query.dtype == torch.bfloat16
    if slow and not dropout:  # with dropout torch does not fuse at all, and values could not be computed again
        return _InFloat32.apply(query, key, value, (runs, dropout, scale, window))
    return _by_length(query, key, value, runs, dropout, scale, window)


def _by_length(
    query: Tensor, key: Tensor, value: Tensor, runs: Runs, dropout: float, scale: float | None, window: int | None
) -> Tensor:
    """Documents of equal length together, see ``attend``."""
    single = len(query) == sum(docs for docs, _ in runs)
    # cut by split, whose gradient is one concatenation; slices would each fill a whole row with zeros
    queries = query.split([docs if single else docs * length for docs, length in runs])
    keys, values = (t.split([docs * length for docs, length in runs]) for t in (key, value))
    outputs = []
    # autocast would take products in float32 back to the lower precision
    with torch.autocast(query.device.type, enabled=False):
        for (docs, length), *parts in zip(runs, queries, keys, values, strict=True):
            q, k, v = (t.unflatten(0, (docs, -1)).transpose(1, 2) for t in parts)
            near = None if window is None or length <= window else _near(q.shape[2], length, window, q.device)
            output = scaled_dot_product_attention(q, k, v, attn_mask=near, dropout_p=dropout, scale=scale)
            outputs.append(output.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)


class _InFloat32(torch.autograd.Function):
    """bfloat16 attention whose gradient is computed in float32, from values computed again.

    The gradient of torch's own is ten times slower in bfloat16 on a CPU: a training step takes 1.4 x as long. Computing
    values again costs 2 to 5 % of it; attention in float32 from the start would keep 22 % more activations.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, given: tuple) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.given = given
        return _by_length(query, key, value, *given)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        parts = [t.detach().float().requires_grad_() for t in ctx.saved_tensors]
        with torch.enable_grad():
            values = _by_length(*parts, *ctx.given)
        gradients = torch.autograd.grad(values, parts, gradient.float())
        return (*(g.to(gradient.dtype) for g in gradients), None)


def fused_for(query: Tensor) -> Callable[..., Tensor] | None:
    """torch's attention for documents of any lengths in one kernel; None where it does not run."""
    if query.device.type != "cuda" or query.dtype not in (torch.bfloat16, torch.float16) or query.shape[-1] % 8:
        return None
    if torch.cuda.get_device_capability(query.device) < (8, 0):
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn  # since torch 2.10
    except ImportError:
        return None
    return cast(Callable[..., Tensor], varlen_attn)


def _near(queries: int, length: int, window: int, device: torch.device) -> Tensor:
    places = torch.arange(length, device=device)
    return (places[:queries, None] - places).abs() <= window
