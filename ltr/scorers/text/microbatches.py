"""Cutting a ragged batch into micro-batches of similar length, so that little of what is computed is padding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ltr.batch import TokenRows

#: (number of documents, their common length), in the order in which they stand
Runs = list[tuple[int, int]]


def plan(lengths: Tensor, tokens: int, docs: int | None = None, apart: Tensor | None = None) -> list[Tensor]:
    """Which documents are computed together: similar lengths, longest first, at most ``tokens`` with padding.

    A document longer than the budget gets a micro-batch of its own. Longest first, because then memory that is too
    small shows at once, and later micro-batches reuse what the first ones allocated.

    Args:
        lengths: [documents] tokens of each document.
        tokens: most tokens in one micro-batch, padding included.
        docs: most documents in one micro-batch; None for any number.
        apart: [documents] numbers: documents of different ones are not computed together; None for any together.

    >>> [piece.tolist() for piece in plan(torch.tensor([3, 9, 4, 8]), tokens=18)]
    [[1, 3], [2, 0]]
    >>> [piece.tolist() for piece in plan(torch.tensor([3, 9, 4, 8]), tokens=18, apart=torch.tensor([0, 0, 1, 1]))]
    [[1, 0], [3, 2]]
    """
    if apart is not None:
        groups = [apart.eq(number).nonzero()[:, 0] for number in apart.unique()]
        return [group[piece] for group in groups for piece in plan(lengths[group], tokens, docs)]
    order = lengths.argsort(descending=True, stable=True)
    descending = lengths[order].tolist()
    pieces, start = [], 0
    while start < len(descending):
        fitting = max(1, tokens // max(1, descending[start]))
        stop = min(start + min(fitting, docs or fitting), len(descending))
        pieces.append(order[start:stop])
        start = stop
    return pieces


def evenly(lengths: Tensor, threads: int, most: int) -> int:
    """Tokens of a piece, at most ``most``, so that all threads have about the same to do.

    >>> evenly(torch.tensor([5, 5, 5, 5]), 2, 4096), evenly(torch.tensor([5, 5, 5, 5]), 1, 4096)
    (12, 4096)
    """
    if threads == 1:
        return most
    tokens = int(lengths.sum())
    pieces = threads * -(-tokens // (threads * most))
    # half a long document more than its share, so that nothing is left over
    return min(most, -(-tokens // pieces) + int(lengths.max()) // 2)


def filled(lengths: Tensor, tokens: int, docs: int | None = None) -> list[Tensor]:
    """As ``plan``, where documents stand in a row without padding: real tokens count.

    >>> [piece.tolist() for piece in filled(torch.tensor([3, 9, 4, 8]), tokens=15)]
    [[1], [3, 2, 0]]
    """
    order = lengths.argsort(descending=True, stable=True)
    pieces, start, held = [], 0, 0
    for at, length in enumerate(lengths[order].tolist()):
        if held and (held + length > tokens or at - start == docs):
            pieces.append(order[start:at])
            start, held = at, 0
        held += length
    return [*pieces, order[start:]]


def padded(tokens: TokenRows, docs: Tensor, pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """The token ids, segment ids and mask [docs, longest] of some documents, padded on the right."""
    lengths = tokens.lengths[docs]
    places = torch.arange(int(lengths.max()), device=lengths.device)
    mask = places < lengths[:, None]
    # places beyond a document would run into its neighbour, or off the stream's end
    at = (tokens.offsets[docs, None] + places).masked_fill(~mask, 0)
    return tokens.ids[at].masked_fill(~mask, pad_id), tokens.marks[at].masked_fill(~mask, 0), mask


class Row(NamedTuple):
    """Some documents as one row of tokens, one after the other.

    Attributes:
        input_ids: [tokens].
        segment_ids: [tokens].
        positions: [tokens] of each token in its document, from 0.
        ends: [docs] where each document ends in the row.
        starts: [docs] where it starts.
        runs: the documents, those of equal length that follow each other together.
    """

    input_ids: Tensor
    segment_ids: Tensor
    positions: Tensor
    ends: Tensor
    starts: Tensor
    runs: Runs


def row(tokens: TokenRows, docs: Tensor) -> Row:
    """Documents as a row; sorted by length they make the fewest runs.

    >>> tokens = TokenRows(torch.tensor([7, 8, 9]), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 3]))
    >>> one_row = row(tokens, torch.tensor([1, 0]))
    >>> one_row.input_ids.tolist(), one_row.positions.tolist(), one_row.runs
    ([8, 9, 7], [0, 1, 0], [(1, 2), (1, 1)])
    """
    lengths = tokens.lengths[docs]
    ends = lengths.cumsum(0)
    starts = ends - lengths
    positions = torch.arange(int(ends[-1]), device=ends.device) - starts.repeat_interleave(lengths)
    at = tokens.offsets[docs].repeat_interleave(lengths) + positions
    common, counts = lengths.unique_consecutive(return_counts=True)
    runs = list(zip(counts.tolist(), common.tolist(), strict=True))
    return Row(tokens.ids[at], tokens.marks[at], positions, ends, starts, runs)
