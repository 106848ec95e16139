"""Pointwise losses against loops and by hand."""

from __future__ import annotations

from math import log

import pytest
import torch

from ltr.errors import DataError
from ltr.links import Identity, Sigmoid
from ltr.losses import BCE, MSE, Dual, Grades, Huber, Matching, Positives
from tests.losses.cases import batch_for
from tests.reference import pointwise as reference

SEEDS = range(3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("loss", "double"),
    [
        (MSE(), reference.mse),
        (Huber(delta=0.7), lambda s, y: reference.huber(s, y, 0.7)),
        (BCE(), reference.bce),
        (BCE(Positives()), lambda s, y: reference.bce(s, [float(v > 0) for v in y])),
    ],
    ids=lambda value: "loop" if callable(value) and not isinstance(value, torch.nn.Module) else repr(value),
)
def test_equals_its_loop(loss, double, seed):
    b = batch_for(loss, seed)
    costs = type(loss)(**{**loss_arguments(loss), "reduction": "none"})(b.scores, b.labels, b.mask)
    for cost, scores, labels, keep in zip(costs, b.scores, b.labels, b.mask, strict=True):
        if keep.any():
            assert cost.item() == pytest.approx(double(scores[keep].tolist(), labels[keep].tolist()), rel=1e-10)


def loss_arguments(loss):
    return {name: getattr(loss, name) for name in ("targets", "delta") if hasattr(loss, name)}


def test_mse_is_twice_the_matching_loss_of_the_identity():
    b = batch_for(MSE(), 1)
    assert torch.equal(MSE()(b.scores, b.labels, b.mask), 2 * Matching(Identity())(b.scores, b.labels, b.mask))


def test_huber_is_quadratic_near_and_linear_far():
    loss = Huber(delta=2.0)
    zero = torch.zeros(1, 1)
    assert loss(torch.tensor([[1.0]]), zero).item() == 0.5
    assert loss(torch.tensor([[2.0]]), zero).item() == 2.0
    assert loss(torch.tensor([[-5.0]]), zero).item() == 2 * (5 - 1)


def test_bce_is_the_logistic_matching_loss_for_hard_labels_and_off_by_the_entropy_for_soft_ones():
    b = batch_for(BCE(), 2)
    hard = b.labels.round()
    logistic = Matching(Sigmoid(), Dual())
    torch.testing.assert_close(BCE()(b.scores, hard, b.mask), logistic(b.scores, hard, b.mask), rtol=1e-12, atol=1e-12)
    soft = torch.full_like(b.labels, 0.25)
    entropy = -(0.25 * log(0.25) + 0.75 * log(0.75))
    difference = BCE(reduction="none")(b.scores, soft) - Matching(Sigmoid(), Dual(), "none")(b.scores, soft)
    assert difference.tolist() == pytest.approx([entropy] * 3)


def test_bce_keeps_the_gradient_of_badly_wrong_scores():
    # peers clamp probabilities before the logarithm, which kills it
    scores = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = BCE()(scores, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == 200.0
    assert scores.grad.tolist() == [[-0.5, 0.5]]


def test_bce_refuses_labels_that_are_no_probabilities():
    with pytest.raises(DataError, match=r"BCE: labels .*must lie in \[0, 1\], got 2 at list 0, document 1; map"):
        BCE()(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]))
    assert BCE(Positives())(torch.zeros(1, 2), torch.tensor([[0.0, 2.0]])).item() == pytest.approx(log(2))


def test_mse_of_grades_compares_with_their_scores():
    loss = MSE(Grades([-1.0, 2.0]))
    assert loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item() == (1 + 4) / 2
