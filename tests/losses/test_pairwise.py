"""Classical pairwise losses, by hand and against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError
from ltr.losses.pair_weights import DeltaNDCG, GradeDifference
from ltr.losses.pairwise import MarginMSE, PairwiseHinge, RankNet
from tests.reference import pairs as reference

random_seed = given(st.integers(0, 10**6), st.integers(2, 9))
few = settings(max_examples=15, deadline=None, derandomize=True)


def one_list(seed, docs, grades=4):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(1, docs, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, grades, (1, docs), generator=generator).double()
    labels[0, 0], labels[0, 1] = 0, grades - 1
    return scores, labels


@random_seed
@few
def test_ranknet_follows_its_definition(seed, docs):
    scores, labels = one_list(seed, docs)
    s, y = scores[0].tolist(), labels[0].tolist()
    assert RankNet()(scores, labels).item() == pytest.approx(reference.contrast(lambda z: z, s, y))
    assert RankNet(sigma=2.5)(scores, labels).item() == pytest.approx(reference.contrast(lambda z: 2.5 * z, s, y))


def test_ranknet_by_hand():
    # grades 1, 0, 1: pairs (0, 1) with difference 2 and (2, 1) with difference -1
    scores = torch.tensor([[1.0, -1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    loss = RankNet()(scores, torch.tensor([[1.0, 0.0, 1.0]]))
    loss.backward()
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2)
    down, up = 1 / (1 + math.exp(2)) / 2, 1 / (1 + math.exp(-1)) / 2
    assert scores.grad[0].tolist() == pytest.approx([-down, down + up, -up])


def test_strongly_misordered_pairs_keep_their_gradient():
    for gap in (30.0, 80.0, 1e3, 1e4):
        scores = torch.tensor([[-gap, gap]], requires_grad=True)
        loss = RankNet()(scores, torch.tensor([[1.0, 0.0]]))
        loss.backward()
        assert loss.item() == pytest.approx(2 * gap)
        assert scores.grad.tolist() == [[-1, 1]]


def test_well_ordered_pairs_have_a_cost_and_gradient_without_threshold():
    # softplus in torch turns linear above 20 and rounds e^-25 away in float64 sums; this must not
    scores = torch.tensor([[25.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = RankNet()(scores, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log1p(math.exp(-25)), rel=1e-12)
    assert scores.grad[0, 0].item() == pytest.approx(-1 / (1 + math.exp(25)), rel=1e-12)
    misordered = RankNet()(torch.tensor([[0.0, 25.0]], dtype=torch.float64), torch.tensor([[1.0, 0.0]]))
    assert misordered.item() - 25 == pytest.approx(math.log1p(math.exp(-25)), rel=1e-3)


def test_a_batch_without_any_pair_costs_zero_and_not_nan():
    scores = torch.tensor([[1.0, 2.0], [0.0, 3.0]], requires_grad=True)
    for loss in (RankNet(), PairwiseHinge(), RankNet(GradeDifference()), RankNet(DeltaNDCG())):
        value = loss(scores, torch.ones(2, 2))
        (found,) = torch.autograd.grad(value, scores)
        assert value.item() == 0
        assert found.tolist() == [[0, 0], [0, 0]]


@random_seed
@few
def test_hinge_follows_its_definition(seed, docs):
    scores, labels = one_list(seed, docs)
    for margin in (1.0, 3.5):
        wanted = reference.hinge(margin, scores[0].tolist(), labels[0].tolist())
        assert PairwiseHinge(margin)(scores, labels).item() == pytest.approx(wanted, rel=1e-12, abs=1e-12)


@random_seed
@few
def test_hinge_has_the_gradient_of_its_cost(seed, docs):
    scores, labels = one_list(seed, docs)
    assert torch.autograd.gradcheck(lambda s: PairwiseHinge(2.0)(s, labels), scores.requires_grad_())


@random_seed
@few
def test_margin_mse_follows_its_definition(seed, docs):
    scores, _ = one_list(seed, docs)
    targets, _ = one_list(seed + 1, docs)
    wanted = reference.margin_mse(scores[0].tolist(), targets[0].tolist())
    assert MarginMSE()(scores, targets).item() == pytest.approx(wanted, rel=1e-12)


def test_margin_mse_keeps_its_digits_on_a_high_level():
    error = torch.tensor([[0.25, 0.0, -0.25]])
    level = torch.full((1, 3), 8192.0)
    assert MarginMSE()(level + error, level).item() == pytest.approx(((0.25**2) * 2 + 0.5**2) / 3, rel=1e-6)


def test_settings_are_checked():
    for sigma in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match=rf"^RankNet: sigma must be a finite number above 0, got {sigma}"):
            RankNet(sigma=sigma)
    with pytest.raises(ConfigError, match=r"^PairwiseHinge: margin must be a finite number above 0, got 0"):
        PairwiseHinge(0.0)
    with pytest.raises(ConfigError, match=r"^PairwiseHinge: pair_weights must be an object"):
        PairwiseHinge(pair_weights=None)
    with pytest.raises(ConfigError, match=r"^RankNet: pair_weights must be an object"):
        RankNet(1.0)
