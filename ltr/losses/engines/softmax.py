"""Log-softmax over the documents of a list, and the two distances between distributions that listwise losses use."""

from __future__ import annotations

import torch
from torch import Tensor


def log_softmax(values: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities of the real documents of each list, 0 at masked places (and in lists without documents).

    Args:
        values: [lists, docs] finite.
        mask: [lists, docs] bool.

    >>> log_softmax(torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[True, True, False]])).exp()
    tensor([[0.5000, 0.5000, 1.0000]])
    """
    # a huge finite value instead of -inf: a list without documents then has no NaN gradient
    lowest = torch.finfo(values.dtype).min / 4
    return torch.where(mask, torch.where(mask, values, lowest).log_softmax(-1), 0)


def log_normalised(parts: Tensor, mask: Tensor) -> Tensor:
    """Logarithm of nonnegative ``parts`` divided by their sum over the real documents; -inf where a part is 0."""
    parts = torch.where(mask, parts, 0)
    total = parts.sum(-1, keepdim=True)
    return parts.log() - torch.where(total > 0, total, 1).log()


def divergence(log_q: Tensor, log_p: Tensor, mask: Tensor) -> Tensor:
    """KL(q ‖ p) per list [lists], each term nonnegative and without cancellation where p is near q.

    Since q and p sum to 1, ``Σ q (log q − log p) = Σ q (eᵗ − 1 − t)`` with ``t = log p − log q``. A document with q = 0
    adds its p. The gradient in log p is p − q.

    Args:
        log_q: [lists, docs] target log-probabilities, -inf where q is 0.
        log_p: [lists, docs] finite log-probabilities.
        mask: [lists, docs] bool.
    """
    q, p = log_q.exp(), log_p.exp()
    likely = mask & (q > 0)
    t = torch.where(likely, log_p - torch.where(likely, log_q, 0), 0)
    near = t.abs() < 0.25
    small = torch.where(near, t, 0)
    # eᵗ − 1 − t by its series up to t⁹: below 1e-12 relative on |t| < 1/4, where the plain form cancels
    series = torch.zeros_like(t)
    for k in range(11, 2, -1):
        series = small / k * (1 + series)
    near_term = q * small.square() / 2 * (1 + series)
    terms = torch.where(near, near_term, p - q - q * t)
    return torch.where(mask, torch.where(likely, terms, p), 0).sum(-1)


def cross_entropy(log_q: Tensor, log_p: Tensor, mask: Tensor) -> Tensor:
    """−Σ q log p per list [lists]."""
    return -torch.where(mask, log_q.exp() * log_p, 0).sum(-1)
