"""Divergence and difference at once, in single precision where the link allows it: as accurate as pairs of scores need."""

from __future__ import annotations

import pytest
import torch

from ltr.links import Asinh, Exp, Identity, Sigmoid, Sinh, Tanh
from tests.links.cases import LINKS

every_link = pytest.mark.parametrize("link", LINKS, ids=repr)


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
    cost, slope = link.matched(pred.clone(), target.clone())
    torch.testing.assert_close(cost, link.divergence(pred, target), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(slope, link.difference(pred, target), rtol=1e-12, atol=1e-14)


@every_link
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_in_float32_it_is_close_and_leaves_its_inputs(link, spread):
    pred, target = drawn(spread)
    kept = pred.clone(), target.clone()
    cost, slope = link.matched(pred, target)
    assert torch.equal(pred, kept[0])
    assert torch.equal(target, kept[1])
    assert cost.dtype == slope.dtype == torch.float32
    exact, right = link.divergence(pred.double(), target.double()), link.difference(pred.double(), target.double())
    assert (cost >= 0).all()
    # each to 2e-4, all of them to 1e-6
    assert ((cost - exact).abs() <= 2e-4 * exact + 1e-7 * exact.max()).all()
    assert cost.double().sum().item() == pytest.approx(exact.sum().item(), rel=1e-6)
    size = torch.maximum(link(pred.double()).abs(), link(target.double()).abs())
    assert ((slope - right).abs() <= 1e-5 * size + 1e-9).all()


@pytest.mark.parametrize("link", [Identity(), Sigmoid(), Tanh(), Asinh(), Exp(), Sinh()], ids=repr)
def test_nothing_between_a_score_and_itself(link):
    scores = torch.linspace(-9, 9, 50)
    for found in link.matched(scores, scores.clone()):
        assert (found == 0).all()
    far = torch.tensor([-1e4, 1e4, 1e4, -1e4])
    assert all(found.isfinite().all() for found in link.matched(far, far.flip(0)))


def test_far_out_on_the_sigmoids_flat_side_small_differences_are_kept():
    # both are mirrored to the side on which σ is small
    cost, slope = Sigmoid().matched(torch.tensor([18.0]), torch.tensor([20.0]))
    exact = Sigmoid().divergence(18.0, 20.0), Sigmoid().difference(18.0, 20.0)
    assert cost.item() == pytest.approx(exact[0].item(), rel=1e-4)
    assert slope.item() == pytest.approx(exact[1].item(), rel=1e-4)
