"""Memory that runs out in the backward pass: the batch is computed again with less of it, and not lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ltr.scorers.out_of_memory import is_out_of_memory, released


def backward_in_less_memory(
    cost: Tensor, again: Callable[[], Tensor], parameters: Sequence[Tensor], spare: Callable[[int], bool]
) -> None:
    """Add a cost's gradients to those of the parameters; when memory runs out, those of the same cost computed again.

    Meant for one process: with several, gradients are exchanged during the backward pass, and one process that starts
    anew would leave the others waiting. (Memory that runs out in the forward pass is dealt with there, by each process
    for itself.) Dropout is drawn anew; a running centre in the loss has moved already, and stands still.

    Args:
        cost: scalar with its graph, which is let go.
        again: computes the cost once more.
        parameters: whose gradients may hold those of earlier batches, which stay in.
        spare: told how often the batch has failed before, needs less memory from now on; False where it cannot.
    """
    # a pass that fails midway leaves part of its gradients behind: what was there before is kept apart
    earlier = [(p, p.grad) for p in parameters if p.grad is not None]
    for parameter in parameters:
        parameter.grad = None
    failures = 0
    while True:
        try:
            cost.backward()
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not spare(failures):
                raise
        cost.detach_()  # whoever else holds it would hold all activations
        for parameter in parameters:
            parameter.grad = None
        released()
        failures += 1
        cost = again()
    with torch.no_grad():
        for parameter, gradient in earlier:
            parameter.grad = gradient if parameter.grad is None else gradient.add_(parameter.grad)
