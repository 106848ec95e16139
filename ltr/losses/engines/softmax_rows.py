"""Softmax losses of blocks of rows whose targets are a few documents: costs and gradients in few passes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ltr.losses.engines.row_blocks import Rows

#: [scores] -> (transformed, slopes; one number where all are equal)
Transform = Callable[[Tensor], tuple[Tensor, Tensor]]


def softmax_rows(
    rows: Rows, parts: Tensor, transform: Transform | None, entropy: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Divergence (or cross-entropy) of ``softmax(f(s))`` from a target that few documents share.

    Args:
        rows: the block.
        parts: [entries] nonnegative shares of the target, which need not sum to 1.
        transform: f; None for the identity.
        entropy: whether the target's entropy is taken off, as in KL(q ‖ p).

    Returns:
        As ``Loss.row_costs``. Rows without a target, or with one document, cost nothing.
    """
    sums = rows.sums(parts)
    keep = (sums > 0) & (_columns(rows) > 1)
    q = torch.where(keep[rows.owners], parts / sums.clamp(min=torch.finfo(sums.dtype).tiny)[rows.owners], 0)
    values, slope = (rows.scores, None) if transform is None else transform(rows.scores)
    at_entries = values[rows.owners, rows.places]
    p, log_sums = _softmax(values, rows)
    terms = log_sums[rows.owners] - at_entries
    if entropy:
        terms = terms + q.clamp(min=torch.finfo(q.dtype).tiny).log()
    costs = rows.sums(q * terms)
    gradient = p.index_put_((rows.owners, rows.places), -q, accumulate=True)
    if slope is not None:
        gradient *= slope
        gradient[rows.hidden_owners, rows.hidden] = 0  # where the slope may have been overwritten along with the values
    return _kept(costs.clamp(min=0), gradient, keep)


def contrastive_rows(rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """InfoNCE: each positive against all negatives of its row, the mean over positives.

    Returns:
        As ``Loss.row_costs``. Rows without a positive or without a negative cost nothing.
    """
    positive = rows.labels > 0
    owners, places = rows.owners[positive], rows.places[positive]
    counts = torch.zeros(len(rows.scores), dtype=rows.scores.dtype, device=rows.scores.device)
    counts.index_add_(0, owners, torch.ones_like(owners, dtype=counts.dtype))
    keep = (counts > 0) & (_columns(rows) > counts)
    at = rows.scores[owners, places]
    rows.scores[owners, places] = -torch.inf
    p, against = _softmax(rows.scores, rows)
    gap = at - against[owners]
    share = 1 / counts.clamp(min=1)[owners]
    pull = torch.sigmoid(-gap) * share
    costs, pulls = torch.zeros_like(counts), torch.zeros_like(counts)
    costs.index_add_(0, owners, -logsigmoid(gap) * share)
    pulls.index_add_(0, owners, pull)
    gradient = p.mul_(pulls[:, None])
    gradient[owners, places] = -pull
    return _kept(costs, gradient, keep)


def _columns(rows: Rows) -> Tensor:
    """[rows] documents that each row has."""
    hidden = torch.bincount(rows.hidden_owners, minlength=len(rows.scores))
    return rows.scores.shape[1] - hidden


def _softmax(values: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """([rows, docs] probabilities, 0 at hidden places, [rows] logarithms of the sums of exponentials); values are lost."""
    values[rows.hidden_owners, rows.hidden] = -torch.inf
    highest = values.amax(-1)
    p = values.softmax(-1)
    # the likeliest document has exp(highest - log of the sum)
    return p, highest - p.amax(-1).log()


def _kept(costs: Tensor, gradient: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if not bool(keep.all()):
        costs = torch.where(keep, costs, 0)
        gradient[~keep] = 0
    return costs, gradient, keep
