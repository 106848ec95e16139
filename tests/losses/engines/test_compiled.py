"""Sums over pairs in compiled kernels: equal to those in blocks, and given up with a warning where nothing compiles."""

from __future__ import annotations

import gc
import logging
import re
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ltr.links import Asinh, Exp, Identity, ReverseExp, Sigmoid, Softplus, Tanh
from ltr.losses import ADRMSE, ApproxMRR, DifferenceMatching, Dual, PairwiseHinge, RankNet
from ltr.losses.engines import compiled
from ltr.losses.engines.blocks import fits
from ltr.losses.pair_weights import GradeDifference
from tests.losses.own import SquaredHinge
from tests.losses.test_speed import DENSE, drawn

pytestmark = [  # torch's own, from its compiler
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace:UserWarning"),
]

SIZES = [(5, 40), (1, 60), (7, 33)]
#: links whose kernels are long, or that take one way or another by their parameters
LINKS = [
    Tanh(), Sigmoid(0.5, 2, 3), Asinh(0.5, 2, 3), Exp(0.3, 0.7, 2, tail=2.5), ReverseExp(), Softplus(0.5, 2, 3),
    Sigmoid(1) + 0.1 * Asinh(2) + 0.1 * Identity(),
]  # fmt: skip
FURTHER = [*map(DifferenceMatching, LINKS), DifferenceMatching(Sigmoid(), Dual()), SquaredHinge(0.5)]


@pytest.fixture
def on_cpu(monkeypatch):
    """Kernels for the CPU too, and none left from other tests; lists are never short."""
    monkeypatch.setattr(compiled, "DEVICES", {"cpu"})
    monkeypatch.setattr(compiled, "_made", {})
    monkeypatch.setattr(compiled, "_refused", {})


@pytest.fixture
def traced(on_cpu, monkeypatch):
    """Functions go through torch's tracer, which decides what must be made anew, and not through its compiler."""
    torch._dynamo.reset()
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f, **settings: compile_(f, dynamic=True, fullgraph=True, backend="eager")
    )


def step(loss, scores, labels, mask):
    scores = scores.detach().requires_grad_()
    costs = loss(scores, labels, mask)
    return costs.detach(), *torch.autograd.grad(costs, scores)


def check(loss, monkeypatch, sizes=SIZES):
    """Costs and gradients are those of all pairs at once."""
    for lists, docs in sizes:
        scores, labels = drawn(lists, docs)
        if isinstance(getattr(loss, "targets", None), Dual):
            labels = (labels > 1).to(labels)
        mask = torch.rand(lists, docs, generator=torch.Generator().manual_seed(1)) > 0.2
        with monkeypatch.context() as patch:
            patch.setattr("ltr.losses.engines.blocks.CPU_PAIRS", 100)
            costs, gradient = step(loss, scores, labels, mask)
        wanted, right = step(loss, scores, labels, mask)
        torch.testing.assert_close(costs, wanted, rtol=1e-6, atol=1e-7)
        assert (gradient - right).norm() <= 2e-6 * right.norm()


@pytest.mark.parametrize("loss", DENSE, ids=repr)
def test_what_is_compiled_computes_the_same(loss, on_cpu, monkeypatch):
    # the functions as they are: what the compiler makes of them is tested below
    asked = []
    monkeypatch.setattr(torch, "compile", lambda f, **settings: asked.append(settings) or f)
    check(loss, monkeypatch)
    assert asked
    assert all(settings == {"dynamic": True, "fullgraph": True, "options": compiled.OPTIONS} for settings in asked)
    assert not compiled._refused, list(compiled._recompiled.values())


@pytest.mark.slow
@pytest.mark.parametrize("loss", [*DENSE, *FURTHER], ids=repr)
def test_the_compilers_kernels_do_and_hold_no_pairs(loss, on_cpu, monkeypatch):
    from torch._inductor.utils import run_and_get_code

    def all_sizes():
        check(loss, monkeypatch)

    torch._dynamo.reset()
    _, sources = run_and_get_code(all_sizes)
    assert sources
    assert not compiled._refused, list(compiled._recompiled.values())
    for source in sources:
        made = [line for line in source.splitlines() if "= empty_strided" in line]
        assert made
        # (lists, docs), never (lists, docs, docs)
        sizes = [re.findall(r"\w+", line.split("((")[1].split(")")[0]) for line in made]
        assert all(len([size for size in shape if size != "1"]) <= 2 for shape in sizes), made


@pytest.mark.parametrize("loss", FURTHER, ids=repr)
def test_all_links_can_be_compiled(loss, traced, monkeypatch):
    check(loss, monkeypatch, SIZES[:1])
    assert compiled._made
    assert not compiled._refused, list(compiled._recompiled.values())


class Power(GradeDifference):
    """Weights equal to others, since nobody said that they have a further parameter."""

    def __init__(self, power):
        object.__setattr__(self, "power", power)

    def weigh(self, upper, lower):
        return super().weigh(upper, lower) ** self.power


def test_what_only_looks_the_same_gets_a_kernel_of_its_own(traced, monkeypatch):
    assert Power(1.0) == Power(3.0)
    for power in (1.0, 3.0, 1.0):
        check(RankNet(Power(power)), monkeypatch, SIZES[:1])
    assert len(compiled._made) == 1
    assert not compiled._refused, list(compiled._recompiled.values())


def test_parameters_that_always_change_are_not_compiled_without_end(traced, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "VARIANTS", 2)
    with caplog.at_level(logging.WARNING, "ltr.losses.engines.compiled"):
        for margin in (1.0, 2.0, 3.0, 4.0):
            check(PairwiseHinge(margin), monkeypatch, SIZES[:1])
    said = [record.getMessage() for record in caplog.records if record.name == "ltr.losses.engines.compiled"]
    assert [
        "PairwiseHinge(margin=3.0, pair_weights=Uniform()), Uniform() was compiled 2 times" in message
        for message in said
    ] == [True]
    check(RankNet(), monkeypatch)
    assert len(compiled._made) == len(compiled._refused) == 1


class Watching(TorchDispatchMode):
    """As profilers and counters of operations do: it sees each of them, and torch compiles nothing meanwhile."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


def test_what_is_not_compiled_just_now_is_not_called(on_cpu, monkeypatch):
    called = []
    monkeypatch.setattr(torch, "compile", lambda f, **settings: lambda *inputs: called.append(f) or f(*inputs))
    with Watching():
        check(RankNet(), monkeypatch)
    torch.compiler.set_stance("force_eager")
    try:
        check(RankNet(), monkeypatch)
    finally:
        torch.compiler.set_stance("default")
    assert not called
    check(RankNet(), monkeypatch)
    assert called
    assert not compiled._refused, list(compiled._recompiled.values())


def test_a_step_that_is_compiled_as_a_whole_leaves_kernels_to_themselves(traced, monkeypatch):
    seen = []

    def backend(graph, inputs):
        seen.extend(graph.graph.nodes)
        return graph

    scores, labels = drawn(5, 40)
    mask = torch.ones_like(labels, dtype=torch.bool)
    right = RankNet()(scores, labels, mask)
    monkeypatch.setattr("ltr.losses.engines.blocks.CPU_PAIRS", 100)
    breaks = torch._dynamo.utils.counters["graph_break"]
    breaks.clear()
    whole = torch._dynamo.optimize(backend)(lambda s: RankNet()(s, labels, mask) * 2)
    torch.testing.assert_close(whole(scores), 2 * right)
    assert compiled._made
    assert any("marked as skipped" in reason and "`_pair_sums`" in reason for reason in breaks), list(breaks)
    pairs = [n for n in seen if "example_value" in n.meta and getattr(n.meta["example_value"], "ndim", 0) > 2]
    assert not pairs


@pytest.mark.parametrize("making", [True, False], ids=["making", "calling"])
@pytest.mark.parametrize("loss", [RankNet(), ADRMSE(), ApproxMRR()], ids=repr)
def test_without_a_compiler_it_says_so_and_goes_on_in_blocks(loss, making, on_cpu, monkeypatch, caplog):
    def broken(function, **settings):
        def call(*inputs):
            raise RuntimeError("no compiler on this machine\nmore of it")

        return call() if making else call

    monkeypatch.setattr(torch, "compile", broken)
    with caplog.at_level(logging.WARNING, "ltr.losses.engines.compiled"):
        check(loss, monkeypatch)
        check(loss, monkeypatch)
    assert len(caplog.records) == 1  # once, not in every step
    assert "computed block by block: RuntimeError: no compiler on this machine" in caplog.text


def test_memory_that_runs_out_is_not_taken_for_a_missing_compiler(on_cpu, monkeypatch):
    def full(*inputs):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(torch, "compile", lambda function, **settings: full)
    with pytest.raises(torch.OutOfMemoryError):
        check(RankNet(), monkeypatch)


def test_nothing_is_compiled_for_the_cpu_or_where_compiling_is_switched_off(on_cpu, monkeypatch):
    monkeypatch.setattr(torch, "compile", None)
    with torch._dynamo.config.patch(disable=True):
        check(RankNet(), monkeypatch)
    monkeypatch.undo()
    check(RankNet(), monkeypatch)
    assert "cpu" not in compiled.DEVICES


def test_what_is_given_up_lets_its_kernels_go(traced, monkeypatch):
    kernels = []

    def backend(graph, inputs):
        kernels.append(weakref.ref(graph))
        return graph.forward

    monkeypatch.setattr(compiled, "VARIANTS", 2)
    monkeypatch.setattr(
        torch, "compile", lambda f, **settings: torch._dynamo.optimize(backend, nopython=True, dynamic=True)(f)
    )
    for margin in (1.0, 2.0):
        check(PairwiseHinge(margin), monkeypatch, SIZES[:1])
    assert all(kernel() for kernel in kernels)
    check(PairwiseHinge(3.0), monkeypatch, SIZES[:1])
    gc.collect()
    assert [kernel() for kernel in kernels] == [None, None]


def test_threads_that_meet_a_limit_at_once_are_told_once(traced, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "VARIANTS", 2)
    monkeypatch.setattr("ltr.losses.engines.blocks.CPU_PAIRS", 100)
    scores, labels = drawn(5, 40)
    mask = torch.ones_like(labels, dtype=torch.bool)
    with caplog.at_level(logging.WARNING, "ltr.losses.engines.compiled"), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda margin: step(PairwiseHinge(float(margin)), scores, labels, mask), range(1, 17)))
    assert len([record for record in caplog.records if record.name == "ltr.losses.engines.compiled"]) == 1
    assert not compiled._made


def test_lists_are_short_for_every_device_alike():
    for device in ("cpu", "meta"):  # one that is none, instead of a GPU
        assert fits(torch.empty(1, 512, device=device))
        assert not fits(torch.empty(1, 513, device=device))
