"""Pair weights, and the engine that adds up pairs: blocks change nothing, and memory stays bounded."""

from __future__ import annotations

import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from ltr.errors import ConfigError
from ltr.links import Identity, Sigmoid
from ltr.losses.composite import CompositeContrast
from ltr.losses.engines import blocks
from ltr.losses.engines.pairs import pair_sums
from ltr.losses.engines.problem import PairProblem
from ltr.losses.lambdas import LambdaLoss, LambdaRank
from ltr.losses.matching import DifferenceMatching
from ltr.losses.pair_weights import DeltaNDCG, GradeDifference, Uniform
from ltr.losses.pairwise import MarginMSE, PairwiseHinge, RankNet
from ltr.losses.rank_distillation import ADRMSE
from ltr.losses.relaxed import ApproxMRR, ApproxNDCG, NeuralNDCG
from ltr.losses.targets import Positives
from tests.reference import pairs as reference

random_seed = given(st.integers(0, 10**6))
few = settings(max_examples=10, deadline=None, derandomize=True)

LOSSES = [
    RankNet(),
    RankNet(GradeDifference()),
    PairwiseHinge(),
    CompositeContrast(Sigmoid(), DeltaNDCG()),
    DifferenceMatching(Sigmoid()),
    DifferenceMatching(Sigmoid(), Positives()),
    LambdaRank(cutoff=5),
    LambdaLoss("ndcg1"),
    LambdaLoss("ndcg2", cutoff=7),
    LambdaLoss(),
    ApproxNDCG(),
    ApproxMRR(),
    NeuralNDCG(),
    ADRMSE(),
]
ALL = torch.ones(1, 4, dtype=torch.bool)
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)


def lists_of(seed, lists, docs, grades, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(lists, docs, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, grades, (lists, docs), generator=generator)
    mask = torch.rand(lists, docs, generator=generator) < 0.8
    return scores.to(dtype), labels.to(dtype), mask


def cost_and_gradient(loss, scores, labels, mask):
    scores = scores.clone().requires_grad_()
    costs = loss(scores, labels, mask)
    costs.sum().backward()
    return costs.detach(), scores.grad


@every_loss
@pytest.mark.parametrize("limit", [1, 50, 700, 4000])
@pytest.mark.parametrize("grades", [2, 5, 500])
def test_blocks_of_any_size_give_the_same(loss, limit, grades, monkeypatch):
    scores, labels, mask = lists_of(3, 4, 40, grades)
    whole = cost_and_gradient(loss, scores, labels, mask)
    monkeypatch.setattr(blocks, "CPU_PAIRS", limit)
    torch.testing.assert_close(cost_and_gradient(loss, scores, labels, mask), whole, rtol=1e-10, atol=1e-12)


@every_loss
def test_costs_without_gradient_are_the_same(loss):
    scores, labels, mask = lists_of(4, 3, 12, 3)
    assert torch.equal(loss(scores, labels, mask), cost_and_gradient(loss, scores, labels, mask)[0])
    assert not loss(scores, labels, mask).requires_grad


def test_uniform_is_the_mean_over_pairs_and_grade_difference_the_weighted_mean():
    scores, labels = [0.5, -1.0, 2.0, 0.0], [2.0, 0.0, 1.0, 2.0]

    def found(weights):
        scored, judged = (torch.tensor([v], dtype=torch.float64) for v in (scores, labels))
        problem = PairProblem(RankNet.pair_cost, weights, scored, scored, judged, ALL, order=judged)
        return pair_sums(problem)[0].item()

    same = [reference.contrast(lambda s: s, scores, labels)]
    assert [found(Uniform())] == pytest.approx(same, rel=1e-12)
    weighted = reference.contrast(lambda s: s, scores, labels, lambda i, j: labels[i] - labels[j])
    assert found(GradeDifference()) == pytest.approx(weighted, rel=1e-12)


@random_seed
@few
@pytest.mark.parametrize("cutoff", [None, 1, 3])
@pytest.mark.parametrize("gains", ["exponential", "linear"])
def test_delta_ndcg_is_what_a_swap_changes(gains, cutoff, seed):
    scores, labels, _ = lists_of(seed, 1, 6, 4)
    weights = DeltaNDCG(gains, cutoff)
    columns = weights.columns(scores, labels, torch.ones(1, 6, dtype=torch.bool))
    found = weights.weigh(tuple(c[0, :, None] for c in columns), tuple(c[0, None, :] for c in columns))
    worth, ranks = reference.gains_of(labels[0].tolist(), gains), reference.ranks_of(scores[0].tolist())
    for i, j in reference.pairs(labels[0].tolist()):
        wanted = reference.swap_change(worth, ranks, i, j, cutoff)
        assert found[i, j].item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_a_relevant_document_below_the_cutoff_is_pulled_up():
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0]], requires_grad=True)
    labels = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    for loss in (
        LambdaRank(cutoff=2),
        LambdaLoss(cutoff=2),
        LambdaLoss("ndcg2", cutoff=2),
        LambdaLoss("ndcg1", cutoff=2),
    ):
        (gradient,) = torch.autograd.grad(loss(scores, labels), scores)
        assert gradient[0, 3] < 0, loss
        assert (gradient[0, :2] > 0).all(), loss
        assert gradient[0, 2] == 0, loss  # neither it nor its partner is in the first two ranks


def test_weights_carry_no_gradient():
    scores = torch.tensor([[0.3, 0.1, -0.2]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: LambdaRank()(s, labels), scores)
    (column, ranks) = DeltaNDCG().columns(scores, labels, torch.ones(1, 3, dtype=torch.bool))
    assert not column.requires_grad
    assert not ranks.requires_grad


def test_pair_weights_are_values():
    assert DeltaNDCG(cutoff=3) == DeltaNDCG("exponential", 3) != DeltaNDCG()
    assert eval(repr(DeltaNDCG("linear", 5))) == DeltaNDCG("linear", 5)
    with pytest.raises(ConfigError, match=r"^DeltaNDCG: gains must be"):
        DeltaNDCG("power")
    with pytest.raises(ConfigError, match=r"^DeltaNDCG: cutoff must be"):
        DeltaNDCG(cutoff=0)


class Memory(TorchDispatchMode):
    """Most bytes alive at once among the storages that operations make while it is on."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for made in out if isinstance(out, tuple | list) else (out,):
            if isinstance(made, torch.Tensor):
                storage = made.untyped_storage()
                if storage._cdata not in self.alive:
                    self.alive[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self.alive.pop, storage._cdata, None)
        self.peak = max(self.peak, sum(self.alive.values()))
        return out


def peak_bytes(loss, lists, docs):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(lists, docs, generator=generator, requires_grad=True)
    labels = torch.randint(0, 5, (lists, docs), generator=generator).float()
    with Memory() as memory:
        loss(scores, labels).backward()
    return memory.peak


class Dense(torch.nn.Module):
    """RankNet with all pairs at once, as the measure of what is avoided."""

    def forward(self, scores, labels):
        above = labels[:, :, None] > labels[:, None]
        costs = -torch.nn.functional.logsigmoid(scores[:, :, None] - scores[:, None]) * above
        return (costs.sum((1, 2)) / above.sum((1, 2))).mean()


def test_the_measure_of_memory_sees_what_lives_and_what_is_gone():
    with Memory() as memory:
        kept = torch.zeros(500)
        for _ in range(3):
            torch.zeros(1000)  # dies at once
            kept[:10].view(2, 5)  # takes nothing
    assert memory.peak == 6000
    assert peak_bytes(Dense(), 4, 500) > 3 * 4 * 500 * 500 * 4


@pytest.mark.parametrize(
    "loss",
    [RankNet(), LambdaRank(), LambdaLoss(), LambdaLoss("ndcg1"), ApproxNDCG(), ApproxMRR(), MarginMSE(), ADRMSE()],
    ids=str,
)
def test_memory_at_64_lists_of_1000_documents(loss):
    assert peak_bytes(loss, 64, 1000) < 20e6  # one tensor of all pairs takes 256 MB


@every_loss
def test_memory_does_not_grow_with_the_number_of_lists(loss):
    small, large = peak_bytes(loss, 2, 600), peak_bytes(loss, 8, 600)
    assert large < small + 1e6  # all pairs of a list take 1.4 MB


LARGE = [DifferenceMatching, RankNet, PairwiseHinge, LambdaRank]


@pytest.mark.parametrize("loss", LARGE)
@pytest.mark.parametrize("limit", [1, 1 << 18])
def test_what_is_no_pair_costs_nothing_however_large(loss, limit, monkeypatch):
    monkeypatch.setattr(blocks, "CPU_PAIRS", limit)
    loss = loss(Identity(), reduction="none") if loss is DifferenceMatching else loss(reduction="none")
    scores, labels = torch.tensor([[1e30, 0.0, 1.0], [1.0, 0.0, 2.0]]), torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    costs, gradient = cost_and_gradient(loss, scores, labels, torch.ones(2, 3, dtype=torch.bool))
    assert costs[0] == 0
    assert torch.equal(gradient[0], torch.zeros(3))
    assert costs[1] > 0
