"""Cutting a ragged batch into micro-batches of similar length, so that little of what is computed is padding."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.batch import TextLists


def plan(lengths: Tensor, tokens: int, docs: int | None = None) -> list[Tensor]:
    """Which documents are computed together: similar lengths, longest first, at most ``tokens`` with padding.

    A document longer than the budget gets a micro-batch of its own. Longest first, because then memory that is too
    small shows at once, and later micro-batches reuse what the first ones allocated.

    Args:
        lengths: [documents] tokens of each document.
        tokens: most tokens in one micro-batch, padding included.
        docs: most documents in one micro-batch; None for any number.

    >>> [piece.tolist() for piece in plan(torch.tensor([3, 9, 4, 8]), tokens=18)]
    [[1, 3], [2, 0]]
    """
    order = lengths.argsort(descending=True, stable=True)
    descending = lengths[order].tolist()
    pieces, start = [], 0
    while start < len(descending):
        fitting = max(1, tokens // max(1, descending[start]))
        stop = min(start + min(fitting, docs or fitting), len(descending))
        pieces.append(order[start:stop])
        start = stop
    return pieces


def padded(batch: TextLists, docs: Tensor, pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """The token ids, segment ids and mask [docs, longest] of some documents of a batch, padded on the right."""
    lengths = batch.lengths[docs]
    places = torch.arange(int(lengths.max()), device=lengths.device)
    mask = places < lengths[:, None]
    # places beyond a document would run into its neighbour, or off the stream's end
    at = (batch.doc_offsets[docs, None] + places).masked_fill(~mask, 0)
    return batch.input_ids[at].masked_fill(~mask, pad_id), batch.segment_ids[at].masked_fill(~mask, 0), mask
