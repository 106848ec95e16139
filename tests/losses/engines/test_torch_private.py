"""Each part of torch that is not public still does what compiled sums need; a failure names the part."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ltr.losses.engines import torch_private
from tests.private_parts import provided

provided_by = partial(provided, used_by=torch_private)


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_functions_can_be_kept_out_of_traces():
    traced = []

    def inner(x):
        traced.append(torch.compiler.is_compiling())
        return x + 1

    with provided_by("torch._disable_dynamo"):
        kept_out = torch_private.untraced(inner)
        whole = torch.compile(lambda x: kept_out(x) * 2, backend="eager")
        assert whole(torch.ones(2)).tolist() == [4.0, 4.0]
        assert traced == [False]


def test_it_is_known_whether_compiled_functions_run_compiled():
    with provided_by("torch._dynamo.config.disable, eval_frame._stance or _get_current_dispatch_mode"):
        assert torch_private.compiles_now()
        with torch._dynamo.config.patch(disable=True):
            assert not torch_private.compiles_now()
    with provided_by("torch._dynamo.eval_frame._stance"), torch.compiler.set_stance("force_eager"):
        assert not torch_private.compiles_now()
    with provided_by("torch.utils._python_dispatch._get_current_dispatch_mode"), TorchDispatchMode():
        assert not torch_private.compiles_now()
    assert torch_private.compiles_now()


def test_a_function_is_compiled_as_often_as_its_limit_says():
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    class Loss(torch.nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

    def times(x, loss):
        return x * loss.factor

    compiled = torch.compile(times, dynamic=True, fullgraph=True, backend=backend)
    losses = [Loss(factor) for factor in (2.0, 3.0, 2.0, 4.0)]
    with provided_by("torch._dynamo.config: specialize_float, recompile_limit"), torch_private.limits(2):
        assert [compiled(torch.ones(1), loss).item() for loss in losses[:3]] == [2.0, 3.0, 2.0]
        # a kernel for each number, which is a constant in it
        assert [len([n for n in graph.graph.nodes if n.op == "placeholder"]) for graph in seen] == [1, 1]
        try:
            compiled(torch.ones(1), losses[3])
        except Exception as error:
            met = error
    with provided_by("torch._dynamo.exc.FailOnRecompileLimitHit"):
        assert torch_private.is_limit_hit(met)
        assert not torch_private.is_limit_hit(RuntimeError())


def test_the_kernels_of_one_function_can_be_let_go():
    kernels = []

    def backend(graph, inputs):
        kernels.append(weakref.ref(graph))
        return graph.forward

    def one(x):
        return x + 1

    def other(x):
        return x + 2

    compiled = [torch.compile(function, backend=backend) for function in (one, other)]
    for function in compiled:
        function(torch.ones(1))
    with provided_by("torch._dynamo.eval_frame.reset_code"):
        torch_private.forget(one)
        gc.collect()
        assert [kernel() is not None for kernel in kernels] == [False, True]
