"""Relaxed metrics: against plain loops and by hand, and near the metric they stand for."""

from __future__ import annotations

import math
import weakref
from math import exp, log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.losses.engines import blocks, soft_sorting
from ltr.losses.rank_distillation import ADRMSE
from ltr.losses.relaxed import ApproxMRR, ApproxNDCG, NeuralNDCG
from tests.reference import pairs, relaxed

few = settings(max_examples=20, deadline=None, derandomize=True)
a_list = given(st.integers(0, 10**6), st.integers(2, 8), st.sampled_from([0.1, 0.7, 3.0]))


def one_list(seed, docs, grades=4):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(1, docs, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, grades, (1, docs), generator=generator).double()
    labels[0, 0], labels[0, 1] = 0, grades - 1
    return scores, labels


@a_list
@few
def test_approx_ndcg_follows_its_definition(seed, docs, temperature):
    scores, labels = one_list(seed, docs)
    for gains in ("exponential", "linear"):
        wanted = relaxed.approx_ndcg(scores[0].tolist(), labels[0].tolist(), temperature, gains)
        found = ApproxNDCG(temperature, gains)(scores, labels).item()
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@a_list
@few
def test_approx_mrr_follows_its_definition(seed, docs, temperature):
    scores, labels = one_list(seed, docs)
    wanted = relaxed.approx_mrr(scores[0].tolist(), labels[0].tolist(), temperature)
    assert ApproxMRR(temperature)(scores, labels).item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize("cutoff", [None, 2])
@a_list
@few
def test_neural_ndcg_follows_its_definition(steps, cutoff, seed, docs, temperature):
    scores, labels = one_list(seed, docs)
    for gains in ("exponential", "linear"):
        wanted = relaxed.neural_ndcg(scores[0].tolist(), labels[0].tolist(), temperature, steps, gains, cutoff)
        found = NeuralNDCG(temperature, steps, gains, cutoff)(scores, labels).item()
        assert found == pytest.approx(wanted, rel=1e-8, abs=1e-11)


@a_list
@few
def test_gradients_are_those_of_the_costs(seed, docs, temperature):
    scores, labels = one_list(seed, docs)
    scores.requires_grad_()
    # steep places need wider scores than finite differences like: temperatures from 0.5
    for loss in (
        ApproxNDCG(temperature + 0.5),
        ApproxMRR(temperature + 0.5),
        NeuralNDCG(temperature + 0.5, 4, cutoff=3),
    ):
        assert torch.autograd.gradcheck(lambda s, loss=loss: loss(s, labels), scores)


def test_approx_ndcg_by_hand():
    # grades 0 and 1 with scores 0.2 and 0, temperature 0.1: the relevant one has rank 1 + σ(2)
    rank = 1 + 1 / (1 + exp(-2))
    found = ApproxNDCG()(torch.tensor([[0.2, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 1.0]]))
    assert found.item() == pytest.approx(1 - 1 / log2(1 + rank), rel=1e-12)


def test_approx_mrr_by_hand():
    # relevant: documents 1 and 2; document 1 (score 0.1) is the first of them, below document 0
    scores = torch.tensor([[0.3, 0.1, -0.4]], dtype=torch.float64, requires_grad=True)
    loss = ApproxMRR()(scores, torch.tensor([[0.0, 1.0, 2.0]]))
    loss.backward()
    above, below = 1 / (1 + exp(-2)), 1 / (1 + exp(5))
    rank = 1 + above + below
    assert loss.item() == pytest.approx(1 - 1 / rank, rel=1e-12)
    steep = [above * (1 - above) / 0.1 / rank**2, below * (1 - below) / 0.1 / rank**2]
    assert scores.grad[0].tolist() == pytest.approx([steep[0], -steep[0] - steep[1], steep[1]], rel=1e-9)


def test_neural_ndcg_by_hand():
    # two documents d apart, grades 0 and 1: rows σ(d/τ), σ(−d/τ) and the reverse; no Sinkhorn step changes them
    top = 1 / (1 + exp(-1.5))
    scores, labels = torch.tensor([[1.5, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 1.0]])
    for steps in (0, 3):
        found = NeuralNDCG(sinkhorn_steps=steps)(scores, labels).item()
        assert found == pytest.approx(1 - ((1 - top) + top / log2(3)), rel=1e-9)


@given(st.integers(0, 10**6), st.integers(2, 9))
@few
def test_cold_losses_are_one_minus_the_metric(seed, docs):
    scores, labels = one_list(seed, docs)
    scores = scores.argsort(-1).argsort(-1).double()  # whole scores, no ties
    gains, ranks = pairs.gains_of(labels[0].tolist(), "exponential"), pairs.ranks_of(scores[0].tolist())
    ndcg = pairs.dcg(gains, ranks) / pairs.ideal(gains)
    mrr = 1 / min(r for r, y in zip(ranks, labels[0].tolist(), strict=True) if y > 0)
    assert ApproxNDCG(0.02)(scores, labels).item() == pytest.approx(1 - ndcg, abs=1e-9)
    assert ApproxMRR(0.02)(scores, labels).item() == pytest.approx(1 - mrr, abs=1e-9)
    assert NeuralNDCG(0.02)(scores, labels).item() == pytest.approx(1 - ndcg, abs=1e-9)


@pytest.mark.parametrize("steps", [0, 1, 10])
@pytest.mark.parametrize("kept", [0, 1 << 26])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sorting_rows_block_by_block_changes_nothing(monkeypatch, steps, kept, threads, dtype):
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 40, generator=draw, dtype=dtype)
    labels, mask = torch.randint(0, 4, (3, 40), generator=draw), torch.rand(3, 40, generator=draw) > 0.2
    found = []
    for at_once in (1 << 18, 30):
        leaf = scores.clone().requires_grad_()
        monkeypatch.setattr(blocks, "CPU_PAIRS", at_once)
        cost = NeuralNDCG(0.5, steps, cutoff=20, reduction="none")(leaf, labels, mask)
        cost.sum().backward()
        found.append((cost.detach(), leaf.grad))
        monkeypatch.setattr(soft_sorting, "KEPT", kept)
        for module in (blocks, soft_sorting):
            monkeypatch.setattr(module, "workers", lambda: threads)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(*found, rtol=0, atol=tolerance)


def test_long_lists_are_sorted_in_bounded_memory(monkeypatch):
    """Matrices of no more than a block are alive at once, and those that are kept, where they are few."""
    scores, labels = torch.randn(1, 300, generator=torch.Generator().manual_seed(0)), torch.arange(300)[None] % 3
    monkeypatch.setattr(blocks, "CPU_PAIRS", 750)
    assert soft_sorting.ROWS == 4
    alive = []
    made = soft_sorting._Chunk.matrix

    def matrix(self, rows):
        found = made(self, rows)
        alive.append(weakref.ref(found))
        assert found.numel() <= 3000
        assert len({id(one()) for one in alive} - {id(None)}) <= (2 if self.kept is None else len(self.blocks))
        return found

    monkeypatch.setattr(soft_sorting._Chunk, "matrix", matrix)
    for kept, n_blocks in ((0, 150), (300 * 300, 30)):
        monkeypatch.setattr(soft_sorting, "KEPT", kept)
        alive.clear()
        NeuralNDCG()(scores.clone().requires_grad_(), labels)
        assert len(alive) == 21 * n_blocks
        assert len({id(one) for one in alive}) == (n_blocks if kept else len(alive))


@pytest.mark.parametrize("at_once", [1 << 18, 1])
def test_tied_first_documents_share_the_pull(at_once, monkeypatch):
    monkeypatch.setattr(blocks, "CPU_PAIRS", at_once)
    scores = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    cost = ApproxMRR()(scores, torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    cost.backward()
    assert cost.item() == pytest.approx(0.6, abs=1e-12)  # each of four has rank 1 + 3/2
    pull = scores.grad[0]
    assert pull[0] == pull[2] < 0 < pull[1]
    assert pull[1] == pull[3]
    assert pull.sum().item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("loss", [ApproxNDCG(), ApproxMRR(), ADRMSE()], ids=str)
@pytest.mark.parametrize("at_once", [1 << 18, 1])
@pytest.mark.parametrize("low", [-1e31, -1e37])
def test_padding_is_below_any_score(loss, at_once, low, monkeypatch):
    monkeypatch.setattr(blocks, "CPU_PAIRS", at_once)
    scores, labels = torch.tensor([[low, 0.0, 1.0]]), torch.tensor([[2.0, 1.0, 0.0]])
    real = torch.tensor([[True, True, True, False]])
    found = loss(torch.tensor([[low, 0.0, 1.0, 7.0]]), torch.tensor([[2.0, 1.0, 0.0, 3.0]]), real)
    assert found.item() == pytest.approx(loss(scores, labels).item(), rel=1e-6)


def test_saturated_pairs_keep_the_digits_of_their_gradient():
    scores = torch.tensor([[3.0, 0.0]], requires_grad=True)  # 30 temperatures apart: σ' = e^-30
    ApproxNDCG()(scores, torch.tensor([[0.0, 1.0]])).backward()
    slope = exp(-30) / 0.1 / (log2(3) ** 2 * 3 * math.log(2))
    assert scores.grad[0].tolist() == pytest.approx([slope, -slope], rel=1e-5, abs=0)


@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from([0.05, 1.0, 5.0]), st.sampled_from([0, 1, 10]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_neural_ndcg_is_bounded_by_its_largest_column_sum(seed, docs, temperature, steps):
    scores, _ = one_list(seed, docs)
    # the worst labels for a bound: all gains at the documents that the relaxed list holds most of
    matrix = relaxed.relaxed_permutation(scores[0].tolist(), temperature, steps)
    columns = torch.tensor(matrix).sum(0)
    labels = (columns >= columns.median()).double()[None]
    assert NeuralNDCG(temperature, steps)(scores, labels).item() >= 1 - columns.max().item() - 1e-6


def test_the_gradient_of_neural_ndcg_jumps_where_scores_tie_until_sinkhorn_converges():
    labels = torch.tensor([[0.0, 1.0, 2.0]])

    def jump(steps):
        pulls = []
        for apart in (-1e-9, 1e-9):
            scores = torch.tensor([[0.5, 0.5 + apart, 0.2]], dtype=torch.float64, requires_grad=True)
            NeuralNDCG(sinkhorn_steps=steps)(scores, labels).backward()
            pulls.append(scores.grad[0, 1].item())
        return abs(pulls[0] - pulls[1])

    # columns scaled alike are what Sinkhorn makes equal again
    assert min(jump(0), jump(1)) > 1e-2
    assert jump(10) < 1e-9
    assert NeuralNDCG().laws.kinks


def test_neural_ndcg_without_sinkhorn_can_pass_below_zero():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(500, 6, generator=generator, dtype=torch.float64)
    labels = (scores.argsort(-1, descending=True).argsort(-1) < 3).double()
    assert NeuralNDCG(0.5, 0, reduction="none")(scores, labels).min() < 0
    assert NeuralNDCG(0.5, 200, reduction="none")(scores, labels).min() > -1e-3


@pytest.mark.parametrize("docs", [3, 400])
def test_neural_ndcg_sorts_extreme_scores_exactly(docs):
    # differences of n · score lose their digits in float32: two rows would then hold the same document
    scores = 1e4 - torch.arange(docs, dtype=torch.float32)[None] * 1e-2 * 400
    labels = (torch.arange(docs) % 3).float()[None]
    ranks = list(range(1, docs + 1))
    gains = pairs.gains_of(labels[0].tolist(), "exponential")
    wanted = 1 - pairs.dcg(gains, ranks) / pairs.ideal(gains)
    assert NeuralNDCG(0.1)(scores, labels).item() == pytest.approx(wanted, abs=1e-5)


def test_settings_are_checked():
    for loss in (ApproxNDCG, ApproxMRR, NeuralNDCG):
        with pytest.raises(ConfigError, match=rf"^{loss.__name__}: temperature must be a finite number above 0, got 0"):
            loss(0.0)
    for steps in (-1, 2.5, True, None):
        with pytest.raises(
            ConfigError, match=rf"^NeuralNDCG: sinkhorn_steps must be a whole number, at least 0, got {steps}"
        ):
            NeuralNDCG(sinkhorn_steps=steps)
    with pytest.raises(ConfigError, match=r"^NeuralNDCG: cutoff must be"):
        NeuralNDCG(cutoff=0)
    for loss in (ApproxNDCG, NeuralNDCG):
        with pytest.raises(ConfigError, match=rf"^{loss.__name__}: gains must be"):
            loss(gains="cubic")
        with pytest.raises(DataError, match=rf"^{loss.__name__}: grades must be whole numbers"):
            loss()(torch.zeros(1, 2), torch.tensor([[0.5, 1.0]]))
