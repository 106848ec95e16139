"""Cutting all pairs of documents into blocks of bounded size, and handing autograd a gradient computed on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ltr.errors import LtrError
from ltr.machine.threads import in_threads, workers

#: pairs in flight at once: on the CPU what a core's cache holds, elsewhere what keeps the device busy
CPU_PAIRS = 1 << 18
DEVICE_PAIRS = 1 << 21

#: a run of documents with one label at least this long gets blocks of its own, which need no mask
LONG_RUN = 16


def pairs_at_once(scores: Tensor) -> int:
    """How many pairs of documents one block may hold on the scores' device."""
    return CPU_PAIRS if scores.device.type == "cpu" else DEVICE_PAIRS


def fits(scores: Tensor) -> bool:
    """Whether lists [lists, docs] are so short that all their pairs at once are no more than a block for a core's cache.

    On every device: where longer ones are compiled, nothing as large as their pairs is to be held.
    """
    return scores.numel() * scores.shape[-1] <= CPU_PAIRS


#: what some parts add up to, None for what nobody asked for
Sums = tuple[Tensor | None, ...]
Part = TypeVar("Part")


@dataclass(frozen=True)
class Block:
    """Some lists × some of their documents (rows) × some other documents (cols), as slices into sorted lists.

    Attributes:
        whole: every row pairs with every column, so that no mask is needed.
    """

    lists: slice
    rows: slice
    cols: slice
    whole: bool = False


def blocks(first: Tensor, stop: Tensor, limit: int) -> Iterator[Block]:
    """Blocks of at most about ``limit`` pairs that cover, for each row i, the columns ``first[i]`` to ``stop``.

    Args:
        first: [lists, docs] int64, the first column of each row, not falling within a list.
        stop: [lists] int64, where columns (and rows) end: the number of documents.
        limit: how many pairs a block may hold; a block has at least one row whatever that takes.
    """
    n_lists, n_docs = first.shape
    if not n_lists or n_docs < 2:
        return
    at_once = max(1, limit // (n_docs * n_docs))
    firsts, stops = first.tolist(), stop.tolist()
    for low in range(0, n_lists, at_once):
        high = min(low + at_once, n_lists)
        lists = slice(low, high)
        if high - low == 1:
            yield from _of_one(lists, firsts[low], stops[low], limit)
        else:
            yield from _of_some(lists, firsts[low:high], stops[low:high], limit)


def _of_one(lists: slice, first: list[int], stop: int, limit: int) -> Iterator[Block]:
    """Blocks of one long list; long runs of rows with the same columns become whole blocks."""
    row = 0
    while row < stop and first[row] < stop:
        column = first[row]
        height = max(1, limit // (stop - column))
        run = row
        while run < stop and run < row + height and first[run] == column:
            run += 1
        whole = run - row >= min(LONG_RUN, height)
        if whole:
            end = run
        else:  # many short runs: rows as they come, few enough that little of the block is masked
            end = min(stop, row + min(height, max(LONG_RUN, stop // 8)))
            while first[end - 1] >= stop:
                end -= 1
        yield Block(lists, slice(row, end), slice(column, stop), whole or end == row + 1)
        row = end


def _of_some(lists: slice, firsts: list[list[int]], stops: list[int], limit: int) -> Iterator[Block]:
    """Blocks over several short lists at once, cut at a quarter of the rows to spare pairs that do not count."""
    stop = max(stops)
    step = max(LONG_RUN, stop // 4)
    ends = [sum(f < s for f in first[:s]) for first, s in zip(firsts, stops, strict=True)]
    for row in range(0, max(ends), step):
        column = min(first[row] for first, end in zip(firsts, ends, strict=True) if row < end)
        yield Block(lists, slice(row, min(row + step, max(ends))), slice(column, stop))


def over_parts(compute: Callable[[Sequence[Part]], Sums], parts: Sequence[Part], device: torch.device) -> Sums:
    """The sums over all parts; on a CPU threads share them, each of which adds up parts of its own.

    Args:
        compute: adds up some parts, without gradients; threads call it at once.
        parts: such as blocks.
        device: where they are computed.
    """
    threads = min(workers(), len(parts)) if device.type == "cpu" else 1
    if threads < 2:
        return compute(parts)
    inference = torch.is_inference_mode_enabled()

    def own(thread: int) -> Sums:
        with torch.inference_mode(inference), torch.no_grad():  # modes of each thread
            return compute(parts[thread::threads])

    first, *others = in_threads(own, range(threads), threads)
    for sums in others:
        for total, part in zip(first, sums, strict=True):
            if total is not None and part is not None:
                total.add_(part)
    return first


class _Attached(torch.autograd.Function):
    """Costs whose gradient is known already."""

    @staticmethod
    def forward(ctx, scores: Tensor, costs: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(scores, gradient)
        return costs.clone()

    @staticmethod
    def backward(ctx, outer: Tensor):  # type: ignore[override]
        scores, gradient = ctx.saved_tensors
        gradient = outer[:, None] * gradient
        # with a graph of the backward pass wanted: a gradient that says so when someone differentiates it
        return _Final.apply(gradient, scores) if torch.is_grad_enabled() else gradient, None, None


class _Final(torch.autograd.Function):
    """A gradient that must not be differentiated again: its dependence on the scores is not known."""

    @staticmethod
    def forward(ctx, gradient: Tensor, scores: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx, outer: Tensor):  # type: ignore[override]
        raise LtrError(
            "losses over pairs and ranks have first derivatives only, computed along with the costs; got a request for "
            "their second derivatives: leave create_graph=True (gradient penalties, Hessians) to pointwise and listwise losses"
        )


def attached(scores: Tensor, costs: Tensor, gradient: Tensor) -> Tensor:
    """``costs`` [lists] with the gradient [lists, docs] towards ``scores`` that was computed along with them.

    Nothing but scores and that gradient is kept for the backward pass.

    Raises:
        LtrError: when the gradient is differentiated again.
    """
    return _Attached.apply(scores, costs, gradient)
