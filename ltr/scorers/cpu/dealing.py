"""Training on a CPU: micro-batches are dealt to threads, and each thread goes back through its own.

Threads of one torch thread each never wait for one another within a layer. What each finds is added up when all are done, so
that nobody who trains notices: scores have a graph, and its backward pass gives each parameter one gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ltr.machine.threads import in_threads
from ltr.scorers.cpu import torch_private
from ltr.scorers.cpu.drawing import Drawing
from ltr.scorers.recomputing import computed

#: scores [documents] of some documents, with their graph
Run = Callable[[Tensor], Tensor]
#: gradients of the parameters, None for those that had no part in the scores
Gradients = tuple[Tensor | None, ...]
#: threads at most: each holds gradients of all parameters until they are added up
MOST = 4


def hands(sizes: Sequence[int], threads: int) -> list[list[int]]:
    """Which pieces each thread gets, so that all have about the same to do: the largest first, to who has the least.

    >>> hands([5, 4, 3, 3], 2)
    [[0, 3], [1, 2]]
    """
    dealt: list[list[int]] = [[] for _ in range(max(1, min(threads, len(sizes))))]
    held = [0] * len(dealt)
    for piece in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        least = held.index(min(held))
        dealt[least].append(piece)
        held[least] += sizes[piece]
    return dealt


def dealt(
    run: Run, pieces: Sequence[Sequence[Tensor]], parameters: Sequence[Tensor], checkpointing: bool = False
) -> tuple[Tensor, ...]:
    """The scores of each thread's pieces, one after the other, as one tensor for each thread.

    Dropout draws from a generator of its own in each piece. Their seeds come from torch's global one, so that the same seed
    and the same number of threads give the same scores and gradients.

    Args:
        run: computes the scores of a piece; threads call it at once.
        pieces: of each thread, at least two threads.
        parameters: all that want a gradient.
        checkpointing: keep no activations, but compute them again in the backward pass.

    Raises:
        Whatever ``run`` raises, in any thread; then no gradient of any thread has been added to anything.
    """
    seed = int(torch.randint(2**62, ()))
    kind, mode = torch.get_autocast_dtype("cpu"), torch.is_autocast_enabled("cpu")
    autocast = partial(torch.autocast, "cpu", kind, mode, torch.is_autocast_cache_enabled())
    places = [sum(map(len, pieces[:i])) for i in range(len(pieces))]

    def own(thread: int) -> Tensor:
        drawn = [(Drawing(seed + places[thread] + i), piece) for i, piece in enumerate(pieces[thread])]
        with torch.enable_grad(), autocast():  # both are set for each thread
            # what is drawn begins anew by itself, and torch's own generator is everybody's
            return torch.cat(computed(one, drawn, checkpointing, own_numbers=True))

    def one(drawn: tuple[Drawing, Tensor]) -> Tensor:
        drawing, piece = drawn
        return drawing.around(run, piece)

    scores = in_threads(own, range(len(pieces)), len(pieces))
    return _Dealt.apply(scores, *parameters)


class _Dealt(torch.autograd.Function):
    """Scores that threads have computed, whose gradients threads compute."""

    @staticmethod
    def forward(ctx: Any, scores: list[Tensor], *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.scores, ctx.parameters = scores, parameters
        return tuple(own.detach() for own in scores)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        scores, parameters = ctx.scores, ctx.parameters
        keep = torch_private.keeps_graph()

        def own(thread: int) -> Gradients:
            return torch.autograd.grad(scores[thread], parameters, gradients[thread], keep, allow_unused=True)

        found = in_threads(own, range(len(scores)), len(scores))
        return None, *added([list(one) for one in found])


def added(found: list[list[Tensor | None]]) -> Gradients:
    """The sums of what several threads found for each parameter; the lists are emptied on the way."""
    sums: list[Tensor | None] = [None] * len(found[0])

    def add(parameters: list[int]) -> None:
        for at in parameters:
            parts = [part for own in found if (part := own[at]) is not None]
            for own in found:
                own[at] = None
            if parts:
                total = parts[0]
                for number, part in enumerate(parts[1:]):
                    # the first may be another parameter's gradient as well
                    total = total.add_(part) if number else total + part
                sums[at] = total

    sizes = [next((own[at].numel() for own in found if own[at] is not None), 0) for at in range(len(sums))]  # type: ignore[union-attr]
    in_threads(add, hands(sizes, len(found)), len(found))
    return tuple(sums)
