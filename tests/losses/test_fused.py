"""Sums over pairs in compiled kernels: equal to those in blocks, and given up with a warning where nothing compiles."""

from __future__ import annotations

import logging

import pytest
import torch

from ltr.losses import ADRMSE, ApproxMRR, RankNet, fused
from tests.losses.test_speed import DENSE, drawn

SIZES = [(5, 40), (1, 60), (7, 33)]


@pytest.fixture
def on_cpu(monkeypatch):
    """Kernels for the CPU too, and none left from other tests; lists are never short."""
    monkeypatch.setattr(fused, "DEVICES", {"cpu"})
    monkeypatch.setattr(fused, "_made", {})
    monkeypatch.setattr(fused, "_refused", {})


def step(loss, scores, labels, mask):
    scores = scores.detach().requires_grad_()
    costs = loss(scores, labels, mask)
    return costs.detach(), *torch.autograd.grad(costs, scores)


def check(loss, monkeypatch, sizes=SIZES):
    """Costs and gradients are those of all pairs at once."""
    for lists, docs in sizes:
        scores, labels = drawn(lists, docs)
        mask = torch.rand(lists, docs, generator=torch.Generator().manual_seed(1)) > 0.2
        with monkeypatch.context() as patch:
            patch.setattr("ltr.losses.blocks.CPU_PAIRS", 100)
            costs, gradient = step(loss, scores, labels, mask)
        wanted, right = step(loss, scores, labels, mask)
        torch.testing.assert_close(costs, wanted, rtol=1e-6, atol=1e-7)
        assert (gradient - right).norm() <= 2e-6 * right.norm()


@pytest.mark.parametrize("loss", DENSE, ids=repr)
def test_what_is_compiled_computes_the_same(loss, on_cpu, monkeypatch):
    # the functions as they are: what the compiler makes of them is tested below
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda f, **settings: compiled.append(settings) or f)
    check(loss, monkeypatch)
    assert compiled
    assert all(settings == {"dynamic": True, "fullgraph": True} for settings in compiled)
    assert not fused._refused


@pytest.mark.slow
@pytest.mark.parametrize("loss", DENSE, ids=repr)
def test_the_compilers_kernels_do_and_hold_no_pairs(loss, on_cpu, monkeypatch):
    from torch._inductor.utils import run_and_get_code

    def all_sizes():
        check(loss, monkeypatch)

    torch._dynamo.reset()
    _, sources = run_and_get_code(all_sizes)
    assert sources
    assert not fused._refused
    for source in sources:
        made = [line for line in source.splitlines() if "= empty_strided" in line]
        assert made
        # (lists, docs), never (lists, docs, docs)
        assert all(line.split("((")[1].split(")")[0].count(",") <= 1 for line in made), made


@pytest.mark.parametrize("loss", [RankNet(), ADRMSE(), ApproxMRR()], ids=repr)
def test_without_a_compiler_it_says_so_and_goes_on_in_blocks(loss, on_cpu, monkeypatch, caplog):
    def broken(function, **settings):
        def call(*inputs):
            raise RuntimeError("no compiler on this machine\nmore of it")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with caplog.at_level(logging.WARNING, "ltr.losses.fused"):
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
    monkeypatch.setattr(torch._dynamo.config, "disable", True)
    check(RankNet(), monkeypatch)
    monkeypatch.undo()
    check(RankNet(), monkeypatch)
    assert "cpu" not in fused.DEVICES
