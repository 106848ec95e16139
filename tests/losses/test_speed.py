"""Losses over pairs and ranks: the gradients of all pairs at once, few kernels on short lists, no [docs, docs] on long ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.utils._python_dispatch import TorchDispatchMode

from ltr.links import Asinh, Exp, Identity, Piecewise, Sigmoid, Sinh, Softplus
from ltr.losses.composite import CompositeContrast
from ltr.losses.engines import blocks, soft_sorting
from ltr.losses.lambdas import LambdaLoss, LambdaRank
from ltr.losses.matching import DifferenceMatching
from ltr.losses.pair_weights import GradeDifference
from ltr.losses.pairwise import PairwiseHinge, RankNet
from ltr.losses.rank_distillation import ADRMSE
from ltr.losses.relaxed import ApproxMRR, ApproxNDCG, NeuralNDCG

# what follows is written from the formulas in the docstrings, with [lists, docs, docs] for every operation


def gaps(values):
    return values[:, :, None] - values[:, None, :]


def mean_over_pairs(cost, labels, weight=None):
    weight = (gaps(labels) > 0) * (1 if weight is None else weight)
    return ((cost * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-300)).mean()


def shares(labels):
    """Discounts of the ranks 1, 2, … and gains over the ideal DCG."""
    share = 1 / torch.log2(2 + torch.arange(labels.shape[1], dtype=labels.dtype))
    gains = 2**labels - 1
    ideal = (gains.sort(descending=True).values * share).sum(1, keepdim=True)
    return share, gains / ideal


def ranked(scores):
    return scores.argsort(descending=True, stable=True).argsort() + 1


def lambdas(kind):
    def loss(scores, labels):
        _, gains = shares(labels)
        ranks = ranked(scores.detach())
        paid = 1 / torch.log2(1.0 + ranks)
        far = gaps(ranks).abs().clamp(min=1).double()
        delta = 1 / torch.log2(1 + far) - 1 / torch.log2(2 + far)
        if kind == "ndcg1":
            weight = (gains * paid)[:, :, None] * (1 - torch.eye(labels.shape[1]))
        else:
            weight = gaps(gains) * (gaps(labels) > 0)
            weight = weight * {"rank": gaps(paid).abs(), "ndcg2": delta, "ndcg2++": gaps(paid).abs() + 10 * delta}[kind]
        return -(weight * logsigmoid(gaps(scores))).sum((1, 2)).mean()

    return loss


def relaxed(scores, temperature):
    return 0.5 + (-gaps(scores) / temperature).sigmoid().sum(2)


def matching(link):
    def loss(scores, labels):
        d, t = gaps(scores), gaps(labels)
        return mean_over_pairs(link.primitive(d) - link.primitive(t) - (d - t) * link(t), labels)

    return loss


def approx_ndcg(scores, labels):
    return (1 - (shares(labels)[1] / torch.log2(1 + relaxed(scores, 0.1))).sum(1)).mean()


def approx_mrr(scores, labels):
    return (1 - 1 / torch.where(labels > 0, relaxed(scores, 0.1), math.inf).amin(1)).mean()


def adr_mse(scores, labels):
    below = gaps(labels) < 0
    tied = (gaps(labels) == 0).sum(2) - 1
    wanted = 1 + below.sum(2) + tied / 2
    return ((relaxed(scores, 1.0) - wanted) ** 2 / torch.log2(1 + wanted)).mean(1).mean()


STEPS = Piecewise([-0.5, 1.5], [0.1, 1, 0])
DENSE = {
    RankNet(): lambda s, y: mean_over_pairs(-logsigmoid(gaps(s)), y),
    RankNet(GradeDifference(), sigma=2.0): lambda s, y: mean_over_pairs(-logsigmoid(2 * gaps(s)), y, gaps(y)),
    PairwiseHinge(): lambda s, y: mean_over_pairs((1 - gaps(s)).clamp(min=0), y),
    CompositeContrast(Sigmoid()): lambda s, y: mean_over_pairs(-logsigmoid(gaps(s.sigmoid())), y),
    DifferenceMatching(Identity()): matching(Identity()),
    DifferenceMatching(Sigmoid()): matching(Sigmoid()),
    DifferenceMatching(Asinh()): matching(Asinh()),
    DifferenceMatching(Exp()): matching(Exp()),
    DifferenceMatching(Sinh(tail=2.0)): matching(Sinh(tail=2.0)),
    DifferenceMatching(Softplus()): matching(Softplus()),
    DifferenceMatching(STEPS): matching(STEPS),
    LambdaRank(): lambdas("rank"),
    LambdaLoss("ndcg1"): lambdas("ndcg1"),
    LambdaLoss("ndcg2"): lambdas("ndcg2"),
    LambdaLoss("ndcg2++"): lambdas("ndcg2++"),
    ApproxNDCG(): approx_ndcg,
    ApproxMRR(): approx_mrr,
    ADRMSE(): adr_mse,
}
every_loss = pytest.mark.parametrize("loss", DENSE, ids=str)


def drawn(lists, docs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(lists, docs, generator=generator)
    return scores, torch.randint(0, 5, (lists, docs), generator=generator).float()


@every_loss
@pytest.mark.parametrize("at_once", [1 << 18, 500])
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_gradients_are_those_of_all_pairs_at_once(loss, at_once, spread, monkeypatch):
    monkeypatch.setattr(blocks, "CPU_PAIRS", at_once)
    scores, labels = drawn(5, 40)
    scores, exact = (spread * scores).requires_grad_(), (spread * scores).double().requires_grad_()
    cost, wanted = loss(scores, labels), DENSE[loss](exact, labels.double())
    (gradient,), (right,) = torch.autograd.grad(cost, scores), torch.autograd.grad(wanted, exact)
    assert cost.item() == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(gradient.double(), right, rtol=0, atol=1e-6 * float(right.abs().max()))


@every_loss
def test_gradients_of_long_lists_keep_float32_accuracy(loss):
    scores, labels = drawn(2, 300)
    scores, exact = (3 * scores).requires_grad_(), (3 * scores).double().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(scores, labels), scores)
    (right,) = torch.autograd.grad(DENSE[loss](exact, labels.double()), exact)
    torch.testing.assert_close(gradient.double(), right, rtol=0, atol=1e-6 * float(right.abs().max()))


@pytest.mark.parametrize("loss", [ApproxNDCG(0.3), ApproxMRR(0.3), ADRMSE(0.3)], ids=str)
def test_shifting_float32_scores_changes_nothing(loss):
    scores, labels = drawn(2, 300)
    scores = (64 * scores).round() / 64  # so that sums with 8 are exact
    here, there = scores.requires_grad_(), (scores.detach() + 8).requires_grad_()
    (loss(here, labels) + loss(there, labels)).backward()
    assert torch.equal(here.grad, there.grad)


class Kernels(TorchDispatchMode):
    """How many operations ran, and the number of elements of the largest tensor that one of them made."""

    def __init__(self):
        super().__init__()
        self.count, self.largest = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.count += 1
        for made in out if isinstance(out, tuple | list) else (out,):
            if isinstance(made, torch.Tensor):
                self.largest = max(self.largest, made.numel())
        return out


def kernels(loss, lists, docs):
    scores, labels = drawn(lists, docs)
    scores.requires_grad_()
    with Kernels() as seen:
        loss(scores, labels).backward()
    return seen


#: start of a loss's repr -> operations of one step at 64 x 10, views and autograd's own included; the dense forms above
#: take 33 (RankNet), 77 (LambdaRank) and 51 (ApproxNDCG) without checks, masks and tied ranks
MOST = {
    "RankNet(pair_weights=Uniform": 52,
    "PairwiseHinge": 54,
    "CompositeContrast": 72,
    "DifferenceMatching(link=Identity": 60,
    "DifferenceMatching(link=Sigmoid": 92,
    "DifferenceMatching(link=Asinh": 97,
    "DifferenceMatching(link=Exp": 90,
    "DifferenceMatching(link=Sinh": 117,
    "DifferenceMatching(link=Softplus": 118,
    "DifferenceMatching(link=Piecewise": 75,
    "LambdaRank": 92,
    "LambdaLoss": 115,
    "ApproxNDCG": 87,
    "ApproxMRR": 68,
    "ADRMSE": 71,
}


@pytest.mark.parametrize("name", MOST)
def test_short_lists_take_few_kernels(name):
    chosen = [loss for loss in DENSE if repr(loss).startswith(name)]
    assert chosen
    for loss in chosen:
        assert kernels(loss, 64, 10).count <= MOST[name], loss


@pytest.mark.parametrize("loss", [*DENSE, NeuralNDCG()], ids=str)
@pytest.mark.parametrize("at_once", [1 << 18, 500])
def test_no_gradient_is_computed_where_none_is_asked_for(loss, at_once, monkeypatch):
    monkeypatch.setattr(blocks, "CPU_PAIRS", at_once)
    scores, labels = drawn(5, 20)
    counts = []
    for wanted in (False, True):
        with Kernels() as seen:
            loss(scores.requires_grad_(wanted), labels)  # forward alone
        counts.append(seen.count)
    assert counts[0] < counts[1]


def test_kernels_are_counted():
    with Kernels() as seen:
        torch.zeros(3).add(1).expand(5, 3).clone()
    assert (seen.count, seen.largest) == (4, 15)


@pytest.mark.parametrize("loss", [*DENSE, NeuralNDCG()], ids=str)
@pytest.mark.parametrize(("lists", "docs"), [(8, 1000), (1, 3000)])
def test_no_tensor_holds_all_pairs_of_long_lists(loss, lists, docs):
    at_once = blocks.CPU_PAIRS * (soft_sorting.ROWS if isinstance(loss, NeuralNDCG) else 1)
    assert kernels(loss, lists, docs).largest <= at_once
