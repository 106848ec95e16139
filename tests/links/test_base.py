"""The laws that every link keeps."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ltr.links
import tests.links.cases
from ltr.errors import ConfigError
from ltr.links import Asinh, Exp, Identity, Link, Scaled, ShapedLink, Sigmoid, Softplus, Sum, Tanh
from tests.links.cases import ADAPTIVE, LINKS, OWN, kinks

EVERY = [*LINKS, *OWN]
every_link = pytest.mark.parametrize("link", EVERY, ids=repr)
scores = st.floats(-20, 20, allow_nan=False)


def points(link: Link, n: int = 41, reach: float = 6.0) -> torch.Tensor:
    """Scores on a grid, away from the link's kinks."""
    z = torch.linspace(-reach, reach, n, dtype=torch.float64) + 0.0137
    near = torch.zeros_like(z, dtype=torch.bool)
    for kink in kinks(link):
        near |= (z - kink).abs() < 0.01
    return z[~near]


def pairs(link: Link) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions and targets far apart, near, and very near each other."""
    generator = torch.Generator().manual_seed(1)
    target = points(link).repeat(4)
    steps = torch.tensor([1.0, 1e-2, 1e-4, 8.0], dtype=torch.float64).repeat_interleave(len(target) // 4)
    return target + steps * torch.randn(len(target), generator=generator, dtype=torch.float64), target


def area(link: Link, target: float, pred: float) -> float:
    """∫ from target to pred of h(z) - h(target) dz, by panels that end at the kinks."""
    low, high = min(target, pred), max(target, pred)
    edges = torch.tensor(sorted([*np.linspace(low, high, 301), *(k for k in kinks(link) if low < k < high)]))
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(12))
    half = edges.diff()[:, None] / 2
    heights = link(edges[:-1, None] + half * (1 + nodes)) - link(target)
    return float((half * weights * heights).sum()) * (1 if pred >= target else -1)


def size(link: Link, *z: torch.Tensor | float) -> torch.Tensor:
    """What a gradient's rounding is measured by: the larger of the link's values."""
    return torch.stack([link(v).detach().abs() for v in z]).amax(0)


def test_every_link_class_has_a_case():
    shown = {type(p) for link in LINKS for p in [link, *getattr(link, "parts", [])]}
    classes = {getattr(ltr.links, n) for n in ltr.links.__all__} - {Link, ShapedLink}
    assert shown == classes


@every_link
@given(a=scores, b=scores)
@settings(max_examples=30, deadline=None)
def test_increases(link, a, b):
    low, high = min(a, b), max(a, b)
    assert link(low) <= link(high)
    assert link.slope(a) >= 0
    bottom, top = link.range
    assert bottom <= link(a) <= top


@every_link
@given(pred=scores, target=scores)
@settings(max_examples=30, deadline=None)
def test_divergence_is_the_area_between_link_and_target_level(link, pred, target):
    value = float(link.divergence(pred, target))
    assert value >= 0
    assert value == pytest.approx(area(link, target, pred), rel=1e-8, abs=1e-12 * float(size(link, pred, target)))
    assert float(link.divergence(target, target)) == 0


@every_link
def test_primitive_slope_and_curvature_are_one_another_s_derivatives(link):
    z = points(link)
    h = 1e-5
    for function, derivative in [(link.primitive, link), (link, link.slope), (link.slope, link.curvature)]:
        numerical = (function(z + h) - function(z - h)) / (2 * h)
        rounding = 1e-9 * function(z).abs().amax() / h * 1e-4
        torch.testing.assert_close(derivative(z), numerical, rtol=2e-6, atol=max(1e-8, float(rounding)))


@every_link
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_slope_at_once_are_those_apart(link, dtype):
    z = points(link).to(dtype)
    value, slope = link.value_and_slope(z.clone())
    assert value.dtype == dtype
    exact = z.double()
    single = {torch.float32: 3e-6, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(value.double(), link(exact), rtol=single, atol=single)
    torch.testing.assert_close(
        torch.as_tensor(slope).expand_as(z).double(), link.slope(exact), rtol=single, atol=single
    )


@pytest.mark.parametrize(
    "link", [*LINKS, Softplus(width=2.0), Sigmoid(width=2.0), Tanh(width=2.0), Asinh(width=2.0)], ids=repr
)
def test_value_and_slope_leave_scores_as_they_are(link):
    """Work that is done in place is done on copies."""
    z = points(link).float()
    before = z.clone()
    link.value_and_slope(z)
    assert torch.equal(z, before)


@every_link
def test_autograd_gives_the_link_s_own_derivatives(link):
    z = points(link).requires_grad_()
    for function, derivative in [(link.primitive, link), (link, link.slope), (link.slope, link.curvature)]:
        (gradient,) = torch.autograd.grad(function(z).sum(), z)
        torch.testing.assert_close(gradient, derivative(z).detach(), rtol=1e-14, atol=0)


@every_link
def test_divergence_has_the_closed_form_gradient(link):
    pred, target = (z.requires_grad_() for z in pairs(link))
    to_pred, to_target = torch.autograd.grad(link.divergence(pred, target).sum(), (pred, target))
    with torch.no_grad():
        error = (to_pred - (link(pred) - link(target))).abs()
        assert (error <= 1e-13 * size(link, pred, target) + 1e-15).all()
        torch.testing.assert_close(to_target, -link.slope(target) * (pred - target), rtol=1e-13, atol=0)


@every_link
def test_divergence_is_accurate_near_the_target(link):
    """D ≈ h'(s) δ²/2 + h''(s) δ³/6, however small δ."""
    target = points(link)
    delta = torch.full_like(target, 2.0**-20)
    expected = link.slope(target) * delta**2 / 2 + link.curvature(target) * delta**3 / 6
    torch.testing.assert_close(link.divergence(target + delta, target), expected, rtol=1e-9, atol=1e-30)


@every_link
def test_float32_gradient_is_that_of_float64(link):
    pred, target = (z.float() for z in pairs(link))
    pred.requires_grad_()
    loss = link.divergence(pred, target)
    assert loss.dtype == torch.float32
    (gradient,) = torch.autograd.grad(loss.sum(), pred)
    exact = link.difference(pred.detach().double(), target.double())
    assert ((gradient - exact).abs() <= 1e-5 * size(link, pred.detach().double(), target.double())).all()


@every_link
def test_passes_gradcheck_once_and_twice(link):
    torch.manual_seed(3)
    target = points(link, 9, 4.0)
    pred = (target + torch.randn_like(target)).requires_grad_()
    keep = torch.ones_like(target, dtype=torch.bool)
    for kink in kinks(link):
        keep &= (pred.detach() - kink).abs() > 1e-3
    inputs = (pred.detach()[keep].requires_grad_(), target[keep].requires_grad_())
    functions = [link.divergence, link.difference] + ([link.bregman] if link.convex else [])
    for function in functions:
        assert torch.autograd.gradcheck(function, inputs)
        # second derivatives of what quadrature finds are checked where they are smooth
        assert torch.autograd.gradgradcheck(function, inputs)
    assert torch.autograd.gradcheck(link, inputs[:1])
    assert torch.autograd.gradgradcheck(link, inputs[:1])


@every_link
def test_inverse_undoes_the_link(link):
    z = points(link, reach=4.0).requires_grad_()
    back = link.inverse(link(z))
    torch.testing.assert_close(back.detach(), z.detach(), rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(back.sum(), z)
    torch.testing.assert_close(gradient, torch.ones_like(z), rtol=1e-5, atol=1e-5)


@every_link
def test_inverse_at_and_beyond_the_ends_of_the_range(link):
    low, high = link.range
    for end, beyond in ((low, low - 0.5), (high, high + 0.5)):
        if math.isfinite(end):
            assert link.inverse(end).isinf(), "an end that is only approached lies at infinity"
            assert link.inverse(beyond).isnan()


@pytest.mark.parametrize(
    "link",
    [Sigmoid(scale=0.3), Sigmoid(scale=0.7), 0.3 * Tanh(scale=0.7), Sigmoid(scale=0.1) + Tanh(scale=0.2)],
    ids=repr,
)
def test_inverse_knows_the_ends_of_the_range_in_float32(link):
    ends = torch.tensor(link.range)  # which lie beside those in float64, inside or beyond them
    assert link.inverse(ends).tolist() == [-math.inf, math.inf]
    assert link.inverse(ends * 1.001).isnan()[1]


@every_link
@pytest.mark.parametrize("upper", [True, False])
def test_boundary_is_the_limit_of_the_divergence(link, upper):
    end = link.range[upper]
    pred = points(link).requires_grad_()
    if math.isinf(end):
        with pytest.raises(ConfigError, match=f"boundary needs a link that is bounded {'above' if upper else 'below'}"):
            link.boundary(pred, upper)
        return
    value = link.boundary(pred, upper)
    torch.testing.assert_close(value, link.divergence(pred, torch.full_like(pred, 300.0 if upper else -300.0)))
    (gradient,) = torch.autograd.grad(value.sum(), pred)
    torch.testing.assert_close(gradient, link(pred).detach() - end, rtol=1e-9, atol=1e-15)
    assert torch.autograd.gradgradcheck(lambda z: link.boundary(z, upper), (pred[::8],))


@every_link
def test_divergence_is_linear_in_the_link(link):
    pred, target = pairs(link)
    other = Asinh(center=1.0)
    for combined, expected in [
        (2.5 * link, 2.5 * link.divergence(pred, target)),
        (link + other, link.divergence(pred, target) + other.divergence(pred, target)),
    ]:
        torch.testing.assert_close(combined.divergence(pred, target), expected, rtol=1e-13, atol=1e-18)


@every_link
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_huge_scores_give_finite_values_and_gradients(link, dtype):
    ends = torch.tensor([-1e4, -3e3, -100.0, -1.0, 0.0, 1.0, 100.0, 3e3, 1e4], dtype=dtype)
    pred, target = (t.flatten().clone().requires_grad_() for t in torch.meshgrid(ends, ends, indexing="ij"))
    methods = [link.divergence, link.difference] + ([link.bregman] if link.convex else [])
    for function in [*methods, *(lambda p, t, f=f: f(p) for f in (link, link.primitive, link.slope, link.curvature))]:
        values = function(pred, target)
        assert values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert values.isfinite().all()
        for gradient in torch.autograd.grad(values.sum(), (pred, target), allow_unused=True, materialize_grads=True):
            assert gradient.dtype == dtype
            assert gradient.isfinite().all()
    assert (link.divergence(pred, target) >= 0).all()


def test_float16_gradients_saturate():
    pred = torch.tensor([60.0, -3.0], dtype=torch.float16, requires_grad=True)
    Exp().divergence(pred, torch.zeros_like(pred)).sum().backward()
    assert pred.grad[0] == 65504
    assert float(pred.grad[1]) == pytest.approx(math.exp(-3) - 1, rel=1e-3)


@every_link
def test_is_a_value(link):
    again = eval(repr(link), {"tests": tests, **{n: getattr(ltr.links, n) for n in ltr.links.__all__}})
    assert again == link
    assert hash(again) == hash(link)
    assert repr(again) == repr(link)
    assert pickle.loads(pickle.dumps(link)) == link
    assert link != 1.5 * link
    with pytest.raises(AttributeError):
        link.center = 3.0


# adaptive quadrature decides by values, which vmap forbids
@pytest.mark.parametrize(
    "link",
    [link for link in EVERY if not any(isinstance(p, ADAPTIVE) for p in [link, *getattr(link, "parts", [])])],
    ids=repr,
)
def test_works_under_vmap_and_func_grad(link):
    pred, target = (z[:5] for z in pairs(link))
    gradient = torch.func.vmap(torch.func.grad(lambda p, t: link.divergence(p, t)))(pred, target)
    torch.testing.assert_close(gradient, link.difference(pred, target))


@pytest.mark.parametrize("link", [link for link in EVERY if link.convex], ids=repr)
def test_bregman_of_a_convex_link(link):
    pred, target = (z.requires_grad_() for z in pairs(link))
    value = link.bregman(pred, target)
    by_definition = link(pred) - link(target) - (pred - target) * link.slope(target)
    torch.testing.assert_close(value, by_definition, rtol=1e-9, atol=1e-13 * float(size(link, pred, target).max()))
    assert (value >= 0).all()
    to_pred, to_target = torch.autograd.grad(value.sum(), (pred, target))
    torch.testing.assert_close(to_pred, link.slope(pred) - link.slope(target), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(to_target, (target - pred) * link.curvature(target), rtol=1e-12, atol=1e-15)


def test_bregman_is_accurate_near_the_target():
    for link in (Exp(), Softplus(), Exp() + Softplus()):
        target = points(Identity())
        delta = 2.0**-20
        expected = link.curvature(target) * delta**2 / 2
        torch.testing.assert_close(link.bregman(target + delta, target), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("link", [link for link in EVERY if not link.convex], ids=repr)
def test_bregman_refuses_a_link_that_is_not_convex(link):
    with pytest.raises(ConfigError, match=r"bregman needs a convex link .* takes any link in its proper form"):
        link.bregman(1.0, 0.0)


@every_link
def test_convex_means_that_the_slope_never_falls(link):
    slopes = link.slope(points(link, 801, 30.0))
    assert link.convex == bool((slopes.diff() >= -1e-12).all())


@every_link
def test_no_slope_exceeds_the_peak(link):
    z = points(link, 801, 8.0)
    assert link.slope_peak(z[300:500]) >= link.slope(z[300:500]).max()
    if link.steepest:  # bounded: the peak holds for scores that were not given, up to where two parts overlap
        assert link.slope_peak(z[:1]) >= 0.9 * link.slope(z).max()


def test_dead_share_counts_real_scores_below_a_hundredth_of_the_peak():
    sigmoid = Sigmoid()  # slope/peak = 4 σ(x) σ(-x): .0177 at 5.4, .0099 at 6
    z = torch.tensor([[0.0, 5.4, 6.0, -6.0], [torch.nan, 7.0, 0.0, torch.inf]])
    mask = torch.tensor([[True, True, True, True], [False, True, False, False]])
    assert sigmoid.dead_share(z, mask) == pytest.approx(3 / 5)
    assert sigmoid.dead_share(z[0]) == 0.5
    assert sigmoid.dead_share(z, torch.zeros_like(mask)) == 0
    assert sigmoid.dead_share(torch.zeros(0)) == 0
    # the slope of exp has no peak of its own: it is measured by the highest score
    assert Exp().dead_share(torch.tensor([9.0, 4.5, 4.3, 0.0])) == 0.5
    assert Exp().dead_share(torch.tensor([4.5, 4.3, 0.0])) == pytest.approx(0)
    assert Identity().dead_share(torch.tensor([1e4, -1e4])) == 0


def test_broadcasts_and_takes_numbers():
    link = Sigmoid()
    assert link.divergence(torch.zeros(3, 1), torch.zeros(4)).shape == (3, 4)
    assert link(0.0).dtype == torch.float64
    assert link.divergence(torch.zeros(2), 1.0).dtype == torch.float32
    assert link(torch.tensor([1, 2])).dtype == torch.float32
    assert link.divergence(torch.zeros(2), torch.zeros(2, dtype=torch.float64)).dtype == torch.float64


def test_gradients_sum_over_broadcast_axes():
    pred, target = torch.zeros(3, 1, requires_grad=True), torch.ones(4)
    Identity().divergence(pred, target).sum().backward()
    assert pred.grad.tolist() == [[-4.0]] * 3


def test_operators_refuse_what_is_not_a_link_or_a_factor():
    with pytest.raises(TypeError):
        Sigmoid() + 1.0
    with pytest.raises(TypeError):
        Sigmoid() * Sigmoid()
    assert isinstance(Sigmoid() * 2, Scaled)
    assert isinstance(sum([Identity(), Sigmoid()], Sigmoid()), Sum)
