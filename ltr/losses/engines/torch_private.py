"""The parts of torch that it does not call public and that compiled sums need, each with the reason, in this one place.

They are there in torch 2.10 to 2.13; ``tests/losses/engines/test_torch_private.py`` says which of them another torch lacks.
"""

from __future__ import annotations

import contextlib
import types

import torch

#: keeps a function out of the traces of a step that is compiled as a whole; the public torch.compiler.disable imports the
#: compiler at once, which takes seconds that nobody without a GPU should wait for
untraced = torch._disable_dynamo


def compiles_now() -> bool:
    """Whether what torch.compile returned runs compiled if called now: nothing public tells."""
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    return (
        not torch._dynamo.config.disable  # TORCHDYNAMO_DISABLE and its kin
        and torch._dynamo.eval_frame._stance.stance == "default"  # torch.compiler.set_stance can be set, not asked for
        and _get_current_dispatch_mode() is None  # profilers and counters of this thread: others may compile just now
    )


def limits(variants: int) -> contextlib.AbstractContextManager:
    """A context in which a function may be compiled ``variants`` times, and Python's numbers become constants.

    torch.compile takes neither as an argument.
    """
    return torch._dynamo.config.patch(specialize_float=True, recompile_limit=variants)


def is_limit_hit(error: Exception) -> bool:
    """Whether a function was to be compiled more often than its limit says; the kind of error has no public name."""
    return isinstance(error, torch._dynamo.exc.FailOnRecompileLimitHit)


def forget(function: types.FunctionType) -> None:
    """Let the kernels of one function go; the public torch.compiler.reset takes those of the whole process."""
    torch._dynamo.eval_frame.reset_code(function.__code__)
