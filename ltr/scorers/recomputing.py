"""Micro-batches whose activations the backward pass computes again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Piece = TypeVar("Piece")


def computed(
    compute: Callable[[Piece], Tensor], pieces: Sequence[Piece], again: bool, own_numbers: bool = False
) -> list[Tensor]:
    """What ``compute`` gives for each piece; with ``again`` few activations are kept.

    The last piece keeps its own: its gradient is the first that is asked for, so it is gone before those of another piece
    are computed again, and takes no memory that they would not take. n pieces cost n - 1 additional passes.

    Args:
        compute: of one piece.
        pieces: micro-batches, in turn.
        again: keep no activations of the others, but compute them again in the backward pass.
        own_numbers: ``compute`` draws from a generator of its own; else it gets torch's numbers of the first time again.
    """
    if not (again and torch.is_grad_enabled()):
        return [compute(piece) for piece in pieces]
    first, last = pieces[:-1], pieces[-1:]
    return [*(_again(compute, piece, own_numbers) for piece in first), *(compute(piece) for piece in last)]


def _again(compute: Callable[[Piece], Tensor], piece: Piece, own_numbers: bool) -> Tensor:
    """What ``compute`` gives, without its activations.

    An error of the first pass is raised behind torch's ``checkpoint``: inside, torch 2.10 would go on recording everything
    that this thread computes, for as long as anybody holds the error (a notebook does), and raise it again in backward passes.
    """
    failed: list[BaseException] = []
    recomputes = False

    def run(piece: Piece) -> Tensor:
        try:
            return compute(piece)
        except BaseException as error:
            if recomputes:
                raise
            failed.append(error)
            return torch.zeros(0)

    found: Tensor = checkpoint(run, piece, use_reentrant=False, preserve_rng_state=not own_numbers)
    recomputes = True
    if failed:
        raise failed.pop()  # and hold it no longer: its frames hold tensors
    return found
