"""Composite Softmax: both forms against their definitions, their gradients, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from ltr.errors import ConfigError
from ltr.links import Asinh, Exp, Identity, Piecewise, ReverseExp, Sigmoid, Sinh, Softplus, Tanh
from ltr.losses import CompositeSoftmax, Gains, Grades, LabelSoftmax, ListNet, Positives, Scores, SoftmaxCE
from tests.losses.cases import batch_for
from tests.reference import listwise as reference

CONVEX = [Identity(), Identity(scale=2.0), Exp(width=2.0), Softplus(center=0.5), Exp() + Identity()]
CONVEX.append(Piecewise([0.0, 1.0], [0.2, 1.0, 2.0]))
OTHERS = [Sigmoid(scale=5.0), Tanh(), Asinh(), Sinh(width=2.0), ReverseExp(width=2.0)]


def lists(seed):
    b = batch_for(CompositeSoftmax(Identity()), seed, lists=2, ragged=False)
    return b.scores, b.labels


def value_and_gradient(loss, scores, labels):
    scores = scores.clone().requires_grad_()
    cost = loss(scores, labels)
    cost.backward()
    return cost.detach(), scores.grad


@pytest.mark.parametrize("transform", CONVEX + OTHERS, ids=repr)
@pytest.mark.parametrize("seed", range(2))
def test_proper_form_equals_its_definition(transform, seed):
    scores, labels = lists(seed)
    costs = CompositeSoftmax(transform, reduction="none")(scores, labels)
    for cost, s, t in zip(costs, scores.tolist(), labels.tolist(), strict=True):
        q = reference.softmax([transform(v).item() for v in t])
        assert cost.item() == pytest.approx(reference.composite_proper(lambda z: transform(z).item(), q, s), rel=1e-9)


@pytest.mark.parametrize("transform", CONVEX, ids=repr)
@pytest.mark.parametrize("seed", range(2))
def test_matching_form_is_the_bregman_divergence_of_log_sum_exp(transform, seed):
    scores, labels = lists(seed)
    costs = CompositeSoftmax(transform, form="matching", reduction="none")(scores, labels)
    for cost, s, t in zip(costs, scores.tolist(), labels.tolist(), strict=True):
        wanted = reference.composite_matching(lambda z: transform(z).item(), lambda z: transform.slope(z).item(), s, t)
        assert cost.item() == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("transform", CONVEX + OTHERS, ids=repr)
@pytest.mark.parametrize("targets", [Scores(), Gains(), LabelSoftmax(0.5), Positives(), Grades()], ids=repr)
def test_proper_form_has_its_closed_gradient(transform, targets):
    scores, labels = lists(3)
    if not isinstance(targets, Scores):
        labels = labels.abs().floor().clamp(max=4)
    _, gradient = value_and_gradient(CompositeSoftmax(transform, targets=targets, reduction="sum"), scores, labels)
    q = targets.distribution(labels, torch.ones_like(labels, dtype=torch.bool), transform)
    p = transform(scores).softmax(-1)
    torch.testing.assert_close(gradient, transform.slope(scores) * (p - q), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("transform", CONVEX, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_matching_form_has_its_closed_gradient(transform, dtype):
    scores, labels = lists(4)
    loss = CompositeSoftmax(transform, form="matching", reduction="sum")
    _, gradient = value_and_gradient(loss, scores.to(dtype), labels.to(dtype))
    here, there = (transform.slope(v) * transform(v).softmax(-1) for v in (scores, labels))
    size = torch.maximum(here, there).max()
    assert (gradient - (here - there)).abs().max() <= (1e-12 if dtype == torch.float64 else 1e-5) * size


@pytest.mark.parametrize("form", ["proper", "matching"])
def test_identity_gives_listnets_gradient_and_its_value_up_to_the_entropy(form):
    scores, labels = lists(5)
    cost, gradient = value_and_gradient(CompositeSoftmax(Identity(), form=form), scores, labels)
    listnet, listnet_gradient = value_and_gradient(ListNet(), scores, labels)
    torch.testing.assert_close(gradient, listnet_gradient, rtol=1e-12, atol=1e-12)
    q = labels.softmax(-1)
    entropy = -(q * q.log()).sum(-1).mean()
    torch.testing.assert_close(cost, listnet - entropy, rtol=1e-10, atol=1e-10)


def test_identity_with_gains_has_the_gradient_of_softmax_ce():
    scores, labels = lists(6)
    grades = labels.abs().floor()
    _, gradient = value_and_gradient(CompositeSoftmax(Identity(), targets=Gains()), scores, grades)
    _, classical = value_and_gradient(SoftmaxCE(), scores, grades)
    torch.testing.assert_close(gradient, classical, rtol=1e-12, atol=1e-12)


def test_steep_regions_separate_adjacent_top_scores():
    # the same small error among the top two costs more under a transform that is steep there
    target, scores = torch.tensor([[4.0, 3.8, 0.0]]), torch.tensor([[3.8, 4.0, 0.0]])
    plain = CompositeSoftmax(Identity())(scores, target)
    assert CompositeSoftmax(Exp(center=2.0))(scores, target) > 10 * plain


@pytest.mark.parametrize("transform", [*OTHERS, Sigmoid() + Identity(), Piecewise([0.0], [2.0, 1.0])], ids=repr)
def test_matching_form_refuses_transforms_that_are_not_convex(transform):
    with pytest.raises(ConfigError, match=r"the transform must be convex .*or the loss can be negative.*form='proper'"):
        CompositeSoftmax(transform, form="matching")
    CompositeSoftmax(transform)


@pytest.mark.parametrize("targets", [Gains(), LabelSoftmax(), Positives()], ids=repr)
def test_matching_form_refuses_targets_that_are_no_scores(targets):
    with pytest.raises(ConfigError, match=r"CompositeSoftmax\(form='matching'\): targets must be .* target scores"):
        CompositeSoftmax(Exp(), form="matching", targets=targets)


def test_unknown_forms_are_refused():
    with pytest.raises(ConfigError, match=r"form must be one of proper, matching, got 'propper'"):
        CompositeSoftmax(Exp(), form="propper")


def test_targets_with_zeros_cost_a_finite_amount():
    scores = torch.tensor([[-9000.0, 9000.0, 0.0]], requires_grad=True)
    cost = CompositeSoftmax(Identity(), targets=Gains())(scores, torch.tensor([[1.0, 0.0, 0.0]]))
    cost.backward()
    assert cost.item() == 18000.0
    assert scores.grad.tolist() == [[-1.0, 1.0, 0.0]]


def test_a_bounded_transform_caps_the_probabilities_as_its_docstring_says():
    scores = torch.full((1, 10), -1e4)
    scores[0, 0] = 1e4
    assert Sigmoid()(scores).softmax(-1).max().item() == pytest.approx(0.23, abs=0.005)


def test_laws_tell_of_kinks_where_the_slope_jumps():
    assert not CompositeSoftmax(Exp() + Identity()).laws.kinks
    for transform in (Piecewise([0.0], [1.0, 2.0]), Sigmoid() + 2.0 * Piecewise([0.0], [1.0, 2.0])):
        laws = CompositeSoftmax(transform).laws
        assert laws.kinks
        assert laws.why["kinks"] == "the transform's slope jumps"
