"""Log-probabilities of tokens from hidden states, some tokens at a time: no [tokens, vocabulary] matrix is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

#: numbers of a chunk's logits
NUMBERS = 1 << 23


def token_log_probs(
    states: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    scale: float = 1.0,
    cap: float | None = None,
) -> Tensor:
    """[tokens] float32 ``log softmax(logits)[target]``, logits of ``states · weightᵀ + bias`` as of ``Vocabulary``.

    Logits are computed in float32, chunk by chunk, and once more for the gradient.

    Args:
        states: [tokens, hidden].
        weight: [vocabulary, hidden].
        targets: [tokens] int64.
        bias: [vocabulary].
        scale, cap: see ``ltr.scorers.causal.vocabulary.Vocabulary``.

    >>> token_log_probs(torch.zeros(1, 2), torch.zeros(4, 2), torch.tensor([3])).exp()
    tensor([0.2500])
    """
    with torch.autocast(states.device.type, enabled=False):
        return _Chunked.apply(states, weight, targets, bias, scale, cap)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        targets: Tensor,
        bias: Tensor | None,
        scale: float,
        cap: float | None,
    ) -> Tensor:
        found = states.new_empty(len(states), dtype=torch.float32)
        sums = torch.empty_like(found)
        for part, logits in _chunks(states, weight, bias, scale, cap):
            found[part] = logits.gather(-1, targets[part, None])[:, 0]
            most = logits.amax(-1, keepdim=True)
            sums[part] = logits.sub_(most).exp_().sum(-1).log_() + most[:, 0]
        ctx.save_for_backward(states, weight, targets, bias, sums)
        ctx.scale, ctx.cap = scale, cap
        return found.sub_(sums)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        states, weight, targets, bias, sums = ctx.saved_tensors
        needs = ctx.needs_input_grad
        to_states = torch.empty_like(states) if needs[0] else None
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if needs[1] else None
        to_bias = None if bias is None or not needs[3] else torch.zeros_like(bias, dtype=torch.float32)
        wide = weight.float()
        for part, logits in _chunks(states, weight, bias, ctx.scale, ctx.cap):
            # derivative of the capped logit by the one before
            slope = None if ctx.cap is None else 1 - (logits / ctx.cap).square()
            chance = logits.sub_(sums[part, None]).exp_().neg_()
            chance.scatter_add_(-1, targets[part, None], torch.ones_like(sums[part, None]))
            chance.mul_(gradient[part, None])
            if slope is not None:
                chance.mul_(slope)
            if ctx.scale != 1.0:
                chance.mul_(ctx.scale)
            if to_states is not None:
                to_states[part] = (chance @ wide).to(states.dtype)
            if to_weight is not None:
                to_weight.addmm_(chance.t(), states[part].float())
            if to_bias is not None:
                to_bias += chance.sum(0)
        return (
            to_states,
            None if to_weight is None else to_weight.to(weight.dtype),
            None,
            None if to_bias is None or bias is None else to_bias.to(bias.dtype),
            None,
            None,
        )


def _chunks(
    states: Tensor, weight: Tensor, bias: Tensor | None, scale: float, cap: float | None
) -> Iterator[tuple[slice, Tensor]]:
    """Which tokens, and their logits in float32, which may be overwritten: all stand in one place, one after the other.

    A new place for each would leave the heap of a CPU in pieces, of which nothing goes back: .9 GB with 49,152 tokens.
    """
    size = max(1, NUMBERS // len(weight))
    held = torch.empty(min(size, len(states)), len(weight), dtype=torch.float32, device=states.device)
    wide = weight.float().t()
    for at in range(0, len(states), size):
        part = slice(at, at + size)
        own = states[part].float()
        logits = torch.mm(own, wide, out=held[: len(own)])
        if bias is not None:
            logits.add_(bias)
        if scale != 1.0:
            logits.mul_(scale)
        if cap is not None:
            logits.div_(cap).tanh_().mul_(cap)
        yield part, logits
