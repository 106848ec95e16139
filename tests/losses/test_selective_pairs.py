"""The selective losses over pairs: against their definitions, and equal to the classical losses they contain."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.links import Asinh, Exp, Identity, Piecewise, Sigmoid, Sinh, Softplus
from ltr.losses import matching
from ltr.losses.composite import CompositeContrast
from ltr.losses.lambdas import LambdaRank
from ltr.losses.matching import DifferenceMatching
from ltr.losses.pair_weights import DeltaNDCG, GradeDifference
from ltr.losses.pairwise import MarginMSE, RankNet
from ltr.losses.running import RunningCenter
from ltr.losses.targets import Dual, Gains, Grades, Positives, Scores
from tests.reference import pairs as reference

random_seed = given(st.integers(0, 10**6))
few = settings(max_examples=10, deadline=None, derandomize=True)


def one_list(seed, docs=6, grades=4):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(1, docs, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, grades, (1, docs), generator=generator).double()
    labels[0, 0], labels[0, 1] = 0, grades - 1
    return scores, labels


def gradient(loss, scores, labels):
    scores = scores.clone().requires_grad_()
    value = loss(scores, labels)
    value.backward()
    return value.detach(), scores.grad


@random_seed
@few
def test_composite_contrast_follows_its_definition(seed):
    scores, labels = one_list(seed)
    s, y = scores[0].tolist(), labels[0].tolist()
    for transform, f in ((Asinh(), math.asinh), (Sinh(width=2.0), lambda z: math.sinh(z / 2))):
        assert CompositeContrast(transform)(scores, labels).item() == pytest.approx(reference.contrast(f, s, y))
        weighted = reference.contrast(f, s, y, lambda i, j: y[i] - y[j])
        assert CompositeContrast(transform, GradeDifference())(scores, labels).item() == pytest.approx(weighted)


@random_seed
@few
def test_the_gradient_of_a_pair_grows_with_the_slope_at_each_score(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(1, 2, generator=generator, dtype=torch.float64)
    f = Sigmoid(center=0.5, scale=3.0)
    _, found = gradient(CompositeContrast(f), scores, torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    wrong = torch.sigmoid(-(f(scores[0, 0]) - f(scores[0, 1])))
    wanted = wrong * f.slope(scores[0]) * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(found[0], wanted, rtol=1e-9, atol=0)


@random_seed
@few
def test_identity_gives_the_classical_losses_back_exactly(seed):
    scores, labels = one_list(seed)
    for selective, classical in (
        (CompositeContrast(Identity()), RankNet()),
        (CompositeContrast(Identity(), GradeDifference()), RankNet(GradeDifference())),
        (CompositeContrast(Identity(scale=0.3)), RankNet(sigma=0.3)),
        (CompositeContrast(Identity(), DeltaNDCG()), LambdaRank()),
        (CompositeContrast(Identity(), DeltaNDCG("linear", 2)), LambdaRank("linear", 2)),
    ):
        for found, wanted in zip(gradient(selective, scores, labels), gradient(classical, scores, labels), strict=True):
            assert torch.equal(found, wanted)


def test_a_transform_of_ones_own_is_taken_through_autograd():
    class Cubic(torch.nn.Module):
        """Not a link, but one that behaves like it where the loss asks."""

        range, convex = (-math.inf, math.inf), False

        def __init__(self):
            super().__init__()
            self.stretch = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

        def forward(self, z):
            return z + self.stretch * z**3

        def slope(self, z):
            return 1 + 3 * self.stretch * z**2

        def divergence(self, pred, target):
            raise AssertionError("not needed")

    loss, (scores, labels) = CompositeContrast(Cubic()), one_list(0)
    value, _found = gradient(loss, scores, labels)
    s, y = scores[0].tolist(), labels[0].tolist()
    assert value.item() == pytest.approx(reference.contrast(lambda z: z + 0.5 * z**3, s, y))
    assert loss.transform.stretch.grad.abs() > 0
    assert torch.autograd.gradcheck(lambda s: loss(s, labels), scores.requires_grad_())


def test_a_running_centre_follows_the_scores_in_training_only():
    loss = CompositeContrast(RunningCenter(Sigmoid()))
    scores, labels = one_list(1)
    loss.train()(scores + 5, labels)
    moved = loss.transform.center.clone()
    assert moved > 1
    loss.eval()(scores - 50, labels)
    assert loss.transform.center == moved


@random_seed
@few
def test_difference_matching_follows_its_definition(seed):
    scores, _ = one_list(seed)
    targets, _ = one_list(seed + 1)
    s, t = scores[0].tolist(), targets[0].tolist()
    found = DifferenceMatching(Asinh())(scores, targets).item()
    assert found == pytest.approx(
        reference.difference_matching(lambda z: z * math.asinh(z) - math.hypot(1, z), math.asinh, s, t),
        rel=1e-9,
        abs=1e-12,
    )
    found = DifferenceMatching(Exp(), pair_weights=GradeDifference())(scores, targets).item()
    weighted = reference.difference_matching(math.exp, math.exp, s, t, lambda i, j: t[i] - t[j])
    assert found == pytest.approx(weighted, rel=1e-9, abs=1e-12)


@random_seed
@few
def test_the_gradient_of_a_difference_is_a_difference_of_link_values(seed):
    scores, targets = one_list(seed, docs=2, grades=3)
    link = Sigmoid(center=0.3, width=0.7)
    _, found = gradient(DifferenceMatching(link), scores, targets)
    pull = link(scores[0, 1] - scores[0, 0]) - link(targets[0, 1] - targets[0, 0])  # document 1 has the higher target
    torch.testing.assert_close(found[0], torch.stack([-pull, pull]), rtol=1e-9, atol=1e-15)


@random_seed
@few
def test_sigmoid_with_labels_at_the_ends_of_its_range_is_ranknet(seed):
    scores, labels = one_list(seed, docs=7, grades=2)
    wanted = gradient(RankNet(), scores, labels)
    for targets in (Dual(), Dual(normalised=True), Positives()):
        torch.testing.assert_close(
            gradient(DifferenceMatching(Sigmoid(), targets), scores, labels), wanted, rtol=1e-12, atol=1e-15
        )
    # a scale multiplies, and normalised labels keep the meaning of 0 and 1, in float32 too (which does not hold 0.3)
    for scale, dtype, rtol in ((3.0, torch.float64, 1e-12), (0.3, torch.float32, 1e-5)):
        loss = DifferenceMatching(Sigmoid(scale=scale), Dual(normalised=True))
        scaled = gradient(loss, scores.to(dtype), labels.to(dtype))
        torch.testing.assert_close(scaled, tuple((scale * w).to(dtype) for w in wanted), rtol=rtol, atol=rtol / 1000)


@pytest.mark.parametrize("targets", [Scores(), Positives()])
def test_evaluating_the_link_in_parts_changes_nothing(monkeypatch, targets):
    scores, labels = one_list(3, docs=9)
    loss = DifferenceMatching(Sigmoid(center=0.5), targets)
    wanted = gradient(loss, scores, labels)
    monkeypatch.setattr(matching, "IN_CACHE", 7)  # 81 pairs: eleven whole parts and a rest
    torch.testing.assert_close(gradient(loss, scores, labels), wanted, rtol=1e-14, atol=1e-16)


def test_dual_labels_inside_the_range_stand_for_scores():
    scores = torch.tensor([[0.3, -0.4, 1.0]], dtype=torch.float64)
    labels = torch.tensor([[0.9, 0.2, 0.5]], dtype=torch.float64)
    inside = DifferenceMatching(Sigmoid(), Dual())(scores, labels)
    as_scores = DifferenceMatching(Sigmoid())(scores, torch.log(labels / (1 - labels)))
    torch.testing.assert_close(inside, as_scores)
    # two documents at one end are no pair; the finite one pairs with the others at the limit
    mixed = torch.tensor([[1.0, 1.0, 0.5]], dtype=torch.float64)
    costs = [reference.softplus(scores[0, 2].item() - s) for s in (0.3, -0.4)]
    assert DifferenceMatching(Sigmoid(), Dual())(scores, mixed).item() == pytest.approx(sum(costs) / 2)


def test_labels_get_no_gradient():
    scores, labels = (torch.tensor([[0.5, -1.0]], requires_grad=True) for _ in range(2))
    DifferenceMatching(Sigmoid())(scores, 2 * labels).backward()
    assert scores.grad.abs().sum() > 0
    assert labels.grad is None


def test_grades_with_one_target_score_make_no_pair():
    loss = DifferenceMatching(Identity(), Grades([0.0, 0.0, 2.0]))
    labels = torch.tensor([[0.0, 1.0], [1.0, 2.0]])
    mask = torch.ones(2, 2, dtype=torch.bool)
    assert loss.contributes(labels, mask).tolist() == [False, True]
    assert loss(torch.tensor([[0.0, 3.0], [0.0, 3.0]]), labels).item() == 0.5  # (3 − 2)² / 2 over one list
    close = DifferenceMatching(Identity(), Grades([0.0, 0.5]))
    assert close.contributes(torch.tensor([[0, 1], [1, 1]])).tolist() == [True, False]
    unknown = torch.tensor([[torch.nan, 1.0], [1.0, 2.0]])
    assert loss.contributes(unknown, ~unknown.isnan()).tolist() == [False, True]


@random_seed
@few
def test_margins_of_the_identity_are_half_of_margin_mse(seed):
    scores, _ = one_list(seed)
    targets = torch.randn(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    halves = DifferenceMatching(Identity())(scores, targets)
    torch.testing.assert_close(2 * halves, MarginMSE()(scores, targets), rtol=1e-9, atol=1e-12)


def test_laws_follow_from_the_parts():
    assert CompositeContrast(Identity()).laws.shift
    assert not CompositeContrast(Sigmoid()).laws.shift
    assert CompositeContrast(Sigmoid(), DeltaNDCG()).laws.ranks
    assert not CompositeContrast(Sigmoid()).laws.ranks
    assert CompositeContrast(Piecewise([0.0], [0.1, 1.0])).laws.kinks
    assert DifferenceMatching(Sigmoid()).laws.divergence
    assert not DifferenceMatching(Sigmoid(), Dual()).laws.divergence
    assert DifferenceMatching(Piecewise([0.0], [0.1, 1.0]), Scores(), DeltaNDCG()).laws.kinks


def test_what_cannot_work_is_refused():
    with pytest.raises(ConfigError, match=r"^CompositeContrast: needs a link object, got the class Sigmoid"):
        CompositeContrast(Sigmoid)
    with pytest.raises(
        ConfigError, match=r"^CompositeContrast: pair_weights must be an object such as .*, got 'uniform'"
    ):
        CompositeContrast(Sigmoid(), "uniform")
    with pytest.raises(ConfigError, match=r"^DifferenceMatching: pair_weights must be an object"):
        DifferenceMatching(Sigmoid(), pair_weights=DeltaNDCG)
    with pytest.raises(ConfigError, match=r"^DifferenceMatching: targets must be readable as target scores"):
        DifferenceMatching(Sigmoid(), Gains())
    with pytest.raises(
        ConfigError, match=r"^DifferenceMatching: the link takes score differences.*use the link inside it"
    ):
        DifferenceMatching(RunningCenter(Sigmoid()))
    with pytest.raises(
        DataError,
        match=r"^DifferenceMatching: a label at the end of the range of Softplus.* got 0 at list 0, document 1",
    ):
        DifferenceMatching(Softplus(), Dual())(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    with pytest.raises(DataError, match=r"^DifferenceMatching: grades must not be negative"):
        DifferenceMatching(Sigmoid(), pair_weights=DeltaNDCG())(torch.zeros(1, 2), torch.tensor([[1.0, -1.0]]))
    with pytest.raises(DataError, match=r"^CompositeContrast: grades must be whole numbers"):
        CompositeContrast(Sigmoid(), DeltaNDCG())(torch.zeros(1, 2), torch.tensor([[1.5, 1.0]]))
