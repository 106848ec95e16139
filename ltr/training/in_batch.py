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
        return total[(slice(ctx.start, ctx.start + rows), *map(slice, others))]
