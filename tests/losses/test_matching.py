"""The scalar matching loss: score targets, dual targets, and the ends of the link's range."""

from __future__ import annotations

from math import atanh, cosh, exp, log, log1p, tanh

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.links import Asinh, Exp, Identity, Numeric, Piecewise, ReverseExp, Sigmoid, Sinh, Softplus, Tanh
from ltr.losses import BCE, MSE, Dual, Grades, Matching, Positives, Scores
from tests.losses.cases import batch_for
from tests.reference import pointwise as reference

LINKS = [
    Identity(scale=0.5),
    Sigmoid(center=0.5, width=2.0, scale=3.0),
    Tanh(center=-1.0),
    Asinh(width=0.5),
    Sinh(width=2.0),
    Exp(),
    ReverseExp(),
    Softplus(),
    Piecewise([-1.0, 1.0], [0.1, 2.0, 0.5]),
    Sigmoid(center=1.0) + 0.1 * Identity(),
]


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_equals_the_area_between_link_and_target(link):
    scores, targets = [-1.5, 0.2, 3.0], [0.4, 2.5, -0.5]
    found = Matching(link)(torch.tensor([scores], dtype=torch.float64), torch.tensor([targets], dtype=torch.float64))

    def value(z):
        return link(z).item()

    assert found.item() == pytest.approx(reference.matching(value, scores, targets, steps=400), rel=1e-4)


@pytest.mark.parametrize("link", LINKS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradient_is_the_difference_of_the_link(link, dtype):
    b = batch_for(Matching(link), 1, ragged=False)
    scores = b.scores.to(dtype).requires_grad_()
    Matching(link, reduction="sum")(scores, b.labels.to(dtype)).backward()
    here, there = link(b.scores), link(b.labels)
    size = torch.maximum(here.abs(), there.abs()) + 1e-9
    error = (scores.grad * b.scores.shape[-1] - (here - there)).abs() / size
    assert error.max() <= (1e-11 if dtype == torch.float64 else 1e-5)


def test_identity_is_half_the_squared_error():
    b = batch_for(MSE(), 2)
    assert torch.equal(2 * Matching(Identity())(b.scores, b.labels, b.mask), MSE()(b.scores, b.labels, b.mask))


@pytest.mark.parametrize("link", [Sigmoid(), Exp(), Asinh(), Identity()], ids=repr)
def test_small_errors_cost_half_the_slope_times_their_square(link):
    target = torch.tensor([[-1.0], [0.0], [2.0]], dtype=torch.float64)
    error = 1e-4
    costs = Matching(link, reduction="none")(target + error, target)
    assert costs.tolist() == pytest.approx((link.slope(target)[:, 0] * error**2 / 2).tolist(), rel=1e-3)


def test_grades_are_looked_up():
    loss, scores = Matching(Asinh(), Grades([-1.0, 2.0])), torch.tensor([[0.3, 0.7]])
    assert torch.equal(loss(scores, torch.tensor([[1.0, 0.0]])), Matching(Asinh())(scores, torch.tensor([[2.0, -1.0]])))


# dual targets


def test_sigmoid_with_hard_labels_is_the_logistic_loss():
    scores = torch.tensor([[-60.0, -3.0, 0.0, 2.0, 60.0]], dtype=torch.float64)
    for y in (0.0, 1.0):
        labels = torch.full_like(scores, y)
        for loss in (Matching(Sigmoid(), Dual()), Matching(Sigmoid(), Dual(normalised=True))):
            ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
            cost, logistic = loss(ours, labels), BCE()(theirs, labels)
            cost.backward()
            logistic.backward()
            torch.testing.assert_close(cost, logistic, rtol=1e-14, atol=0)
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize(
    ("link", "label", "cost"),
    [
        (Sigmoid(center=1.0, width=2.0, scale=3.0), 3.0, lambda z: 6 * log1p(exp(-(z - 1) / 2))),
        (Sigmoid(center=1.0, width=2.0, scale=3.0), 0.0, lambda z: 6 * log1p(exp((z - 1) / 2))),
        (Tanh(), 1.0, lambda z: log(cosh(z)) + log(2) - z),
        (Tanh(), -1.0, lambda z: log(cosh(z)) + log(2) + z),
        (Exp(), 0.0, exp),
        (ReverseExp(), 0.0, lambda z: exp(-z)),
        (Sigmoid() + 2.0 * Sigmoid(), 3.0, lambda z: 3 * log1p(exp(-z))),
        (Piecewise([0.0, 1.0], [0.0, 1.0, 0.0]), 1.0, lambda z: (1 - z) ** 2 / 2 if z > 0 else 0.5 - z),
    ],
)
def test_labels_at_an_end_of_the_range_cost_the_limit(link, label, cost):
    for z in (-2.0, 0.3, 0.9):
        scores = torch.tensor([[z]], dtype=torch.float64, requires_grad=True)
        found = Matching(link, Dual())(scores, torch.tensor([[label]], dtype=torch.float64))
        found.backward()
        assert found.item() == pytest.approx(cost(z), rel=1e-9)
        assert scores.grad.item() == pytest.approx(link(z).item() - label, rel=1e-9)


@given(y=st.floats(0.001, 0.999), z=st.floats(-20, 20))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_labels_inside_the_range_stand_for_the_score_with_that_value(y, z):
    score, label = torch.tensor([[z]], dtype=torch.float64), torch.tensor([[y]], dtype=torch.float64)
    by_hand = Matching(Sigmoid(scale=2.0))(score, torch.tensor([[log(y / (1 - y))]], dtype=torch.float64))
    for loss, seen in ((Matching(Sigmoid(scale=2.0), Dual()), 2 * label), (spread(Sigmoid(scale=2.0)), label)):
        assert loss(score, seen).item() == pytest.approx(by_hand.item(), rel=1e-9, abs=1e-12)
    expected = Matching(Tanh())(score, torch.tensor([[atanh(2 * y - 1)]], dtype=torch.float64))
    assert spread(Tanh())(score, label).item() == pytest.approx(expected.item(), rel=1e-7, abs=1e-9)


def spread(link):
    return Matching(link, Dual(normalised=True))


def test_cost_is_continuous_towards_the_end_of_the_range():
    score = torch.tensor([[0.7]], dtype=torch.float64)
    loss = Matching(Sigmoid(), Dual())
    limit = loss(score, torch.ones(1, 1)).item()
    for distance in (1e-3, 1e-6, 1e-9):
        near = loss(score, torch.tensor([[1 - distance]], dtype=torch.float64)).item()
        assert near == pytest.approx(limit, abs=30 * distance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("link", [Sigmoid(), Sigmoid(scale=0.1), Tanh(scale=1 / 3), Sigmoid() + Tanh()], ids=repr)
def test_every_label_of_a_closure_costs_a_finite_amount(link, dtype):
    low, high = link.range
    labels = torch.tensor([[low, low + 1e-30, (low + high) / 2, high - 1e-9, high]], dtype=dtype)
    for size in (0.0, 3.0, 1e4):
        scores = torch.tensor([[-size, size, 1.0, size, -size]], dtype=dtype, requires_grad=True)
        cost = Matching(link, Dual())(scores, labels)
        cost.backward()
        assert cost.isfinite()
        assert (5 * scores.grad - (link(scores) - labels)).abs().max() <= 1e-5


def test_positives_are_at_the_top_of_the_range_and_others_at_the_bottom():
    link = Sigmoid(scale=2.0) + Sigmoid(center=1.0)
    scores = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    found = Matching(link, Positives())(scores, torch.tensor([[3.0, 0.0, 1.0]]))
    assert torch.equal(found, Matching(link, Dual())(scores, torch.tensor([[3.0, 0.0, 3.0]])))


def test_masked_labels_outside_the_range_do_not_matter():
    # the range does not hold 0, which is what masked labels are set to
    loss = Matching(Numeric(lambda z: 2 + torch.tanh(z), low=1.0, high=3.0), Dual())
    scores, labels = torch.tensor([[0.5, torch.nan]]), torch.tensor([[2.5, -100.0]])
    scores.requires_grad_()
    cost = loss(scores, labels, torch.tensor([[True, False]]))
    cost.backward()
    assert cost.isfinite()
    assert scores.grad[0, 0].item() == pytest.approx(tanh(0.5) - 0.5, rel=1e-5)
    assert scores.grad[0, 1] == 0


def test_laws_follow_the_targets():
    assert Matching(Sigmoid(), Scores()).laws.divergence
    assert not Matching(Sigmoid(), Dual()).laws.divergence
    assert Matching(Sigmoid(), Dual()).laws.labels == "binary"
    assert Matching(Sigmoid(), Grades()).laws.labels == "grades"
