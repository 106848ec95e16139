"""Divergence and difference at once, in single precision where the link allows it: as accurate as pairs of scores need."""

from __future__ import annotations

import pytest
import torch

from ltr.links import Asinh, Exp, Identity, Piecewise, ReverseExp, Sigmoid, Sinh, Softplus, Tanh
from tests.links.cases import LINKS, OWN

STEPS = Piecewise([-0.5, 1.5], [0.1, 1, 0])
SINGLE = [Identity(), Sigmoid(), Tanh(), Asinh(), Exp(), ReverseExp(), Sinh(), Softplus(), STEPS]

every_link = pytest.mark.parametrize("link", [*LINKS, *OWN], ids=repr)


def drawn(spread, seed=0):
    """Targets, and predictions from very near to far."""
    generator = torch.Generator().manual_seed(seed)
    target = spread * torch.randn(4000, generator=generator)
    step = 10 ** (4 * torch.rand(4000, generator=generator) - 3) * torch.randn(4000, generator=generator).sign()
    return torch.cat([target + step, spread * torch.randn(1000, generator=generator)]), torch.cat(
        [target, target[:1000]]
    )


@every_link
def test_in_float64_it_is_the_two(link):
    pred, target = (part.double() for part in drawn(3.0))
    divergence, difference = link.matched(pred.clone(), target.clone())
    torch.testing.assert_close(divergence, link.divergence(pred, target), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(difference, link.difference(pred, target), rtol=1e-12, atol=1e-14)


@every_link
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_in_float32_it_is_close_and_leaves_its_inputs(link, spread):
    pred, target = drawn(spread)
    kept = pred.clone(), target.clone()
    divergence, difference = link.matched(pred, target)
    assert torch.equal(pred, kept[0])
    assert torch.equal(target, kept[1])
    assert divergence.dtype == difference.dtype == torch.float32
    exact, right = link.divergence(pred.double(), target.double()), link.difference(pred.double(), target.double())
    assert (divergence >= 0).all()
    # each to 2e-4, all of them to 1e-6
    assert ((divergence - exact).abs() <= 2e-4 * exact + 1e-7 * exact.max()).all()
    assert divergence.double().sum().item() == pytest.approx(exact.sum().item(), rel=1e-6)
    size = torch.maximum(link(pred.double()).abs(), link(target.double()).abs())
    assert ((difference - right).abs() <= 1e-5 * size + 1e-9).all()


@pytest.mark.parametrize("link", SINGLE, ids=repr)
def test_nothing_between_a_score_and_itself(link):
    scores = torch.linspace(-9, 9, 50)
    for value in link.matched(scores, scores.clone()):
        assert (value == 0).all()
    far = torch.tensor([-1e4, 1e4, 1e4, -1e4])
    assert all(value.isfinite().all() for value in link.matched(far, far.flip(0)))


def test_far_out_on_the_sigmoids_flat_side_small_differences_are_kept():
    # both are mirrored to the side on which σ is small
    divergence, difference = Sigmoid().matched(torch.tensor([18.0]), torch.tensor([20.0]))
    exact = Sigmoid().divergence(18.0, 20.0), Sigmoid().difference(18.0, 20.0)
    assert divergence.item() == pytest.approx(exact[0].item(), rel=1e-4)
    assert difference.item() == pytest.approx(exact[1].item(), rel=1e-4)


def relative(link, pred, target):
    """The largest relative errors of divergences and differences."""
    divergence, difference = link.matched(pred, target)
    exact, right = link.divergence(pred.double(), target.double()), link.difference(pred.double(), target.double())
    return ((divergence / exact - 1).abs().max().item(), (difference / right - 1).abs().max().item())


@pytest.mark.parametrize(
    ("link", "pred", "target"),
    [
        # just beyond the tail, and far within
        (Exp(), 10.001, -1e4),
        (ReverseExp(1, 0.1, 0.1, tail=2), 0.7, 143.0),
        # near each other on either side of a tail, at scores with few digits after the point
        (Sinh(-100, 30, 2), 199.986, 200.014),
        (Exp(0.3, 0.7, 2), 7.2998, 7.3004),
        # above the center, where the difference is all that counts
        (Softplus(width=0.001), 9900.002, 9900.0),
        (Softplus(-100, 30, 2), 8213.0, 8139.0),
        # near and far below it
        (Softplus(), -8.682647, -7.712144),
        (Softplus(), -32.0, -32.6),
        # knots closer than float32 tells
        (Piecewise([100, 100.001], [0, 1000, 0]), 101.0, 99.0),
    ],
    ids=repr,
)
def test_where_digits_could_be_lost(link, pred, target):
    assert max(relative(link, torch.tensor([pred]), torch.tensor([target]))) < 6e-6


def test_near_differences_of_softplus_have_no_bias():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50_000, generator=generator) - 6
    step = 0.3 + 0.7 * torch.rand(50_000, generator=generator)
    for pred in (target + step, target - step):
        divergence, exact = Softplus().matched(pred, target)[0], Softplus().divergence(pred.double(), target.double())
        assert divergence.double().sum().item() == pytest.approx(exact.sum().item(), rel=5e-7)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, from its compiler
@pytest.mark.parametrize("link", [Exp(), Sinh(), Softplus(), STEPS, Asinh()], ids=repr)
def test_a_users_own_compiler_for_processors_keeps_small_differences(link):
    generator = torch.Generator().manual_seed(0)
    target = 0.01 * torch.randn(4000, generator=generator)
    pred = (
        target + 10 ** (-8 + 5 * torch.rand(4000, generator=generator)) * torch.randn(4000, generator=generator).sign()
    )
    apart = pred != target
    divergence, difference = torch.compile(link.matched, dynamic=True)(pred, target)
    exact, right = link.divergence(pred.double(), target.double()), link.difference(pred.double(), target.double())
    assert ((divergence / exact - 1).abs()[apart] < 5e-6).all()
    assert ((difference / right - 1).abs()[apart] < 5e-6).all()


def test_costs_below_the_smallest_number_are_not_negative():
    target = -204 + torch.linspace(-0.5, 0.5, 2001)
    for step in (-1.5, 1.5):
        divergence = Softplus(0.5, 2, 3).matched(target + step, target)[0]
        assert (divergence >= 0).all()


@pytest.mark.parametrize("link", [Asinh(), Exp(), ReverseExp(), Sinh(), Softplus(), STEPS], ids=repr)
def test_each_cost_and_slope_is_right_to_a_few_millionths(link):
    generator = torch.Generator().manual_seed(0)
    target = 6 * torch.rand(20_000, generator=generator) - 3
    pred = (
        target
        + 10 ** (4 * torch.rand(20_000, generator=generator) - 3) * torch.randn(20_000, generator=generator).sign()
    )
    inside = link.divergence(pred.double(), target.double()) > 1e-9  # STEPS is flat in places
    assert max(relative(link, pred[inside], target[inside])) < 5e-6
