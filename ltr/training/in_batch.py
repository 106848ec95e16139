"""Training where the documents of a batch, those of all processes, are candidates of each of its queries."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ltr.batch import TwinLists
from ltr.errors import LtrError
from ltr.losses.engines.row_blocks import Columns
from ltr.training.processes import distributed
from ltr.training.scored import labels_of


def columns_of(batch: TwinLists, keys: Tensor) -> Columns:
    """What each list of a batch is compared with.

    Args:
        batch: the lists of this process.
        keys: [docs] of the documents of all processes, each once.

    A document that is known to be relevant to a query and is no entry of its list is no column of that list.
    """
    if batch.keys is None or batch.relevant is None or batch.relevant_offsets is None or batch.rows is None:
        raise LtrError("TwinLists: a batch with in_batch needs keys, relevant, relevant_offsets and rows")
    ordered, order = keys.sort()
    sizes, known_sizes = batch.list_offsets.diff(), batch.relevant_offsets.diff()
    lists = torch.arange(len(batch), device=keys.device)
    places = order[torch.searchsorted(ordered, batch.keys[batch.rows])]
    owners = lists.repeat_interleave(sizes)
    at = torch.searchsorted(ordered, batch.relevant).clamp(max=len(keys) - 1)
    found = ordered[at] == batch.relevant
    known, known_owners = order[at], lists.repeat_interleave(known_sizes)
    found &= ~torch.isin(known_owners * len(keys) + known, owners * len(keys) + places)
    hidden_sizes = torch.zeros_like(sizes).index_add_(0, known_owners, found.long())
    offsets = torch.cat([hidden_sizes.new_zeros(1), hidden_sizes.cumsum(0)])
    return Columns(len(keys), batch.list_offsets, places, labels_of(batch), offsets, known[found])


def first_positives(columns: Columns) -> Tensor:
    """[lists] column of the first positive entry of each list; of the first entry where none is positive."""
    entries = torch.arange(len(columns.places), device=columns.places.device)
    owners = torch.arange(len(columns), device=entries.device).repeat_interleave(columns.list_offsets.diff())
    ranked = torch.where(columns.labels > 0, entries, entries + len(entries))
    best = torch.full((len(columns),), 2 * len(entries), device=entries.device)
    return columns.places[best.scatter_reduce_(0, owners, ranked, "amin") % max(1, len(entries))]


def widened_columns(
    batch: TwinLists, columns: Columns, first: Tensor, sizes: list[int], of_docs: list[bool]
) -> Columns:
    """Columns with further ones behind them: other queries, or documents as compared with a list's first positive.

    Left out are a list's own query and those to which its first positive is relevant, too; and of documents those of its
    own list and those that are known to be relevant to its query.

    Args:
        batch: the lists of this process.
        columns: the documents.
        first: [lists] column of each list's first positive.
        sizes: numbers of further columns, part by part.
        of_docs: whether a part is documents; else it is the queries of all processes.
    """
    lists = torch.arange(len(batch), device=first.device)
    entries = lists.repeat_interleave(columns.list_offsets.diff())
    known = lists.repeat_interleave(columns.hidden_offsets.diff())
    before = lists_before(len(batch))
    # the queries of all processes and the columns that are relevant to them
    asking = gathered(torch.cat([entries[columns.labels > 0], known]) + before)
    relevant = gathered(torch.cat([columns.places[columns.labels > 0], columns.hidden]))
    same = (first[:, None] == relevant[None]).nonzero()
    own, others = torch.stack([lists, lists + before], 1), torch.stack([same[:, 0], asking[same[:, 1]]], 1)
    queries = torch.cat([own, others]).unique(dim=0)
    hidden = torch.stack([known, columns.hidden], 1)
    docs = torch.cat([torch.stack([entries, columns.places], 1), hidden])
    pairs, start = [hidden], columns.n_docs
    for size, is_docs in zip(sizes, of_docs, strict=True):
        part = docs if is_docs else queries
        pairs.append(torch.stack([part[:, 0], part[:, 1] + start], 1))
        start += size
    whole = torch.cat(pairs)
    whole = whole[whole[:, 0].argsort(stable=True)]
    counts = torch.bincount(whole[:, 0], minlength=len(batch))
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Columns(start, columns.list_offsets, columns.places, columns.labels, offsets, whole[:, 1])


def lists_before(own: int) -> int:
    """Lists of the processes before this one, which has ``own``."""
    if not distributed():
        return 0
    counts: list[int] = [0] * dist.get_world_size()
    dist.all_gather_object(counts, own)
    return sum(counts[: dist.get_rank()])


def gathered_docs(docs: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """(vectors, keys) of the documents of all processes, each document once; gradients go back to whoever encoded it."""
    vectors, numbers = gathered(docs), gathered(keys)
    if not distributed():  # then each stands there once
        return vectors, numbers
    distinct, inverse = numbers.unique(return_inverse=True)
    # of several copies the first is taken
    first = torch.full_like(distinct, len(numbers)).scatter_reduce_(
        0, inverse, torch.arange(len(numbers), device=numbers.device), "amin"
    )
    return vectors[first], distinct


def gathered(values: Tensor) -> Tensor:
    """[rows of all processes, ...] those of the first process first, with gradient; as it is where there is one process."""
    return _Gathered.apply(values) if distributed() else values


class _Gathered(torch.autograd.Function):
    """Rows of all processes. Each process's gradient reaches the rows of all others, and they are summed."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        own = torch.tensor(values.shape, device=values.device)
        shapes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(shapes, own)
        numbers = [int(shape[0]) for shape in shapes]
        longest = values.new_zeros(torch.stack(shapes).amax(0).tolist())  # token vectors may be more elsewhere
        longest[tuple(slice(size) for size in values.shape)] = values
        parts = [torch.empty_like(longest) for _ in numbers]
        dist.all_gather(parts, longest)
        ctx.shape = values.shape
        ctx.start = sum(numbers[: dist.get_rank()])
        return torch.cat([part[:number] for part, number in zip(parts, numbers, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.contiguous()
        dist.all_reduce(total)
        rows, *others = ctx.shape
        place = (slice(ctx.start, ctx.start + rows), *map(slice, others))
        return total[place]
