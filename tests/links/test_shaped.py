"""Links of the user's own: what follows from their shapes, how they are written down, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jsonargparse
import pytest
import torch

import tests.links.cases
from ltr.errors import ConfigError
from ltr.expressions import text_of, value_of
from ltr.links import Identity, Link, ShapedLink, Sigmoid
from ltr.links.shape_checks import check_shape
from tests.links.cases import LINKS, OWN, Bent, Erf, Probit, Rising


class Arctan(ShapedLink):
    shape_range = (-math.pi / 2, math.pi / 2)

    def shape(self, x):
        return torch.atan(x)

    def shape_slope(self, x):
        return 1 / (1 + x * x)


class Ramp(ShapedLink):
    """A link with kinks."""

    smooth = False

    def shape(self, x):
        return 0.5 * x + x.clamp(0.0, 1.0)


@dataclass(frozen=True)
class Wave(ShapedLink):
    """With parameters of its own that are no positive numbers, one of them required."""

    shift: float = -1.5
    places: tuple[float, ...] = (0.0,)

    def shape(self, x):
        return sum(torch.asinh(x - self.shift - place) for place in self.places)


def test_arctan_by_hand():
    # ∫ from 0 to 1 of arctan = arctan 1 - log(2)/2; scale · width · that
    link = Arctan(center=1.0, width=2.0, scale=3.0)
    assert float(link.divergence(3.0, 1.0)) == pytest.approx(6 * (math.pi / 4 - math.log(2) / 2), rel=1e-13)
    assert float(link.curvature(3.0)) == pytest.approx(3 / 4 * -0.5, rel=1e-13)
    assert float(link.inverse(3 * math.pi / 4)) == pytest.approx(3.0, rel=1e-13)
    assert float(link.difference(3.0, -1.0)) == pytest.approx(1.5 * math.pi, rel=1e-14)
    # H(3) - H(1)
    assert float(link.primitive(3.0) - link.primitive(1.0)) == pytest.approx(
        6 * (math.pi / 4 - math.log(2) / 2), rel=1e-12
    )


def test_kinks_are_integrated_as_they_are():
    # from -1 to 2 above the level -1/2: ∫ (x/2 + ramp + 1/2) = 3/4 + (1/2 + 1) + 3/2
    assert float(Ramp().divergence(2.0, -1.0)) == pytest.approx(3.75, rel=1e-9)
    assert float(Ramp().divergence(0.01, -0.03)) == pytest.approx(0.04**2 / 4 + 0.01**2 / 2, rel=1e-5)


@pytest.mark.parametrize("scale", [0.3, 0.7, 1.1])
def test_ends_of_a_range_survive_a_scale_that_rounds(scale):
    link = Arctan(scale=scale)
    assert link.inverse(torch.tensor(link.range, dtype=torch.float64)).tolist() == [-math.inf, math.inf]


def test_boundary_is_refused_where_it_would_never_end():
    with pytest.raises(
        ConfigError, match=r"Arctan\(\): boundary needs a shape that gets near the end of its range: at x = "
    ):
        Arctan().boundary(0.0, upper=True)


def test_without_a_slope_of_its_own_a_shape_has_that_of_autograd_and_its_further_derivatives():
    z = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    slope = Erf().slope(z)
    (second,) = torch.autograd.grad(slope, z, create_graph=True)
    (third,) = torch.autograd.grad(second, z)
    peak = 2 / math.sqrt(math.pi) * math.exp(-0.09)
    assert float(slope.detach()) == pytest.approx(peak, rel=1e-14)
    assert float(second.detach()) == pytest.approx(-0.6 * peak, rel=1e-14)
    assert float(third) == pytest.approx((0.36 - 2) * peak, rel=1e-14)


def test_all_that_is_defined_agrees_with_what_follows_from_the_shape():
    class Less(ShapedLink):
        shape_range = Probit.shape_range
        shape = Probit.shape

    link, less = Probit(center=1.0, width=0.5), Less(center=1.0, width=0.5)
    pred, target = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(less.divergence(pred, target), link.divergence(pred, target), rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(less.curvature(pred), link.curvature(pred), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(less.boundary(pred, True), link.boundary(pred, True), rtol=1e-9, atol=1e-12)


def test_focus_is_the_subclass_s_to_define():
    slopes = Probit.focus(range=(1.0, 4.0)).slope(torch.tensor([1.0, 2.5, 4.0], dtype=torch.float64))
    torch.testing.assert_close(slopes / slopes[1], torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"Erf.focus: it does not define focused\(low, high, scale\); use Sigmoid"):
        Erf.focus(range=(1.0, 4.0))


@pytest.mark.parametrize("link", [*OWN, Arctan(), Wave(2.0, places=(0.0, 3.0))], ids=repr)
def test_repr_is_an_expression_that_is_read_back(link):
    assert value_of(repr(link), packages={"tests"}) == link
    assert value_of(text_of(link), packages={"tests"}) == link


def test_repr_names_the_module_also_under_a_dataclass_of_its_own():
    assert repr(Bent(scale=2)) == "tests.links.cases.Bent(scale=2.0)"
    assert repr(Erf() + 2 * Sigmoid()) == "tests.links.cases.Erf() + 2.0 * Sigmoid()"
    assert repr(Wave(places=(0.0, 3.0))) == f"{__name__}.Wave(places=(0.0, 3.0))"


def test_own_links_come_from_yaml():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--link", type=Link)
    config = parser.parse_string("link: {class_path: tests.links.cases.Bent, init_args: {ratio: 3, width: 2}}")
    assert parser.instantiate(config).link == Bent(width=2, ratio=3)
    again = parser.parse_string(parser.dump(config))
    assert parser.instantiate(again).link == Bent(width=2, ratio=3)


def test_values_and_not_identity():
    assert Arctan(1.0) == Arctan(center=1)
    assert Arctan() != Erf()
    assert Wave() != Wave(shift=0.0)
    assert hash(Wave(places=[0.0, 3.0])) == hash(Wave(places=(0.0, 3.0)))
    assert len({Arctan(1.0), Arctan(1), Rising()}) == 2


def own(base=ShapedLink, **members):
    """A subclass with these functions of x (and y, d) and constants."""
    functions = {
        name: (lambda self, *inputs, f=member: f(*inputs)) if callable(member) else member
        for name, member in members.items()
    }
    return type("Own", (base,), functions)


def cube(x):
    return x**3


@pytest.mark.parametrize(
    ("base", "members", "sentence"),
    [
        (ShapedLink, {}, r"Own must define shape\(x\), an increasing function"),
        (ShapedLink, {"shape": lambda x: -x}, "shape must increase: a link that falls has no matching loss; at x = "),
        (ShapedLink, {"shape": lambda x: 0 * x + 3}, "shape must increase somewhere, got 3 everywhere"),
        (ShapedLink, {"shape": torch.exp}, "shape must be finite for x up to 10000 in size; at x = 7.* got inf"),
        (ShapedLink, {"shape": lambda x: x.sqrt()}, "shape must be finite .* got nan"),
        (ShapedLink, {"shape": lambda x: x.sum()}, r"shape must return a tensor like its input, float64 \[2001\], got"),
        (
            ShapedLink,
            {"shape": lambda x: x @ x @ x},
            "shape must take a float64 tensor of scores, it raised RuntimeError",
        ),
        (
            ShapedLink,
            {"shape": torch.atan},
            r"shape ends below, near -1.5708, and shape_range says -inf; write shape_range",
        ),
        (
            ShapedLink,
            {"shape": torch.erf, "shape_range": (0.0, 1.0)},
            r"shape must stay in its declared range \[0, 1\]",
        ),
        (ShapedLink, {"shape": torch.relu}, "shape ends below, near 0, and shape_range says -inf"),
        (
            ShapedLink,
            {"shape": torch.erf, "shape_range": (-1.0, 2.0)},
            "shape must approach the end 2 of its shape_range, got 1 far above",
        ),
        (ShapedLink, {"shape": cube, "shape_slope": lambda x: x}, "shape_slope must not be negative; at x = -9965.19"),
        (
            ShapedLink,
            {"shape": cube, "shape_slope": lambda x: x * x},
            "shape_slope must be the derivative of shape; about x = .* it is .*, and shape rises by .* per unit",
        ),
        (ShapedLink, {"shape": lambda x: x.detach() ** 3}, "shape_slope must be the derivative of shape; .* it is 0"),
        (ShapedLink, {"shape": cube, "shape_convex": True}, "shape_slope must never fall where shape_convex = True"),
        (Arctan, {"shape_peaks": (3.0,)}, "shape_slope must peak at one of shape_peaks; at x = 0 got 1"),
        (
            ShapedLink,
            {"shape": cube, "shape_primitive": lambda x: x**4},
            "shape must be the derivative of shape_primitive; about x =",
        ),
        (
            Arctan,
            {"shape_curvature": lambda x: x / (1 + x * x) ** 2},
            "shape_curvature must be the derivative of shape_slope; about x =",
        ),
        (Arctan, {"shape_inverse": torch.sin}, "shape_inverse must undo shape; at y = -1.3"),
        (
            Arctan,
            {"shape_divergence": lambda x, y, d: d * d / 2},
            r"shape_divergence must be G\(x\) - G\(y\) - d g\(y\); for x = -5.98\d* and y = -5.98\d* got 5e-07, by quadrature",
        ),
        (Arctan, {"shape_difference": lambda x, y, d: d}, r"shape_difference must be g\(x\) - g\(y\); for x ="),
        (
            Arctan,
            {"shape_divergence_and_difference": lambda x, y, d: (d, d)},
            "shape_divergence_and_difference must be shape_divergence first; for x =",
        ),
        (
            Rising,
            {"shape_bregman": lambda x, y, d: d * d},
            r"shape_bregman must be g\(x\) - g\(y\) - d g'\(y\); for x =",
        ),
        (
            Probit,
            {"shape_boundary": lambda x, upper: x * x},
            "shape_boundary must be the divergence of x from -∞; for x = .* and y = -10000",
        ),
        # 8 evaluations of a slope that jumps are not enough
        (
            Ramp,
            {"shape_primitive": lambda x: x * x / 4 + x.clamp(0, 1) ** 2 / 2 + (x - 1).clamp(min=0)},
            "by quadrature of shape and shape_slope .* leave shape_primitive out or define shape_divergence",
        ),
    ],
)
def test_refuses_functions_that_contradict_one_another(base, members, sentence):
    kind = own(base, **members)
    with pytest.raises((ConfigError, NotImplementedError), match=sentence):
        kind()


@pytest.mark.parametrize("link", [link for link in LINKS if isinstance(link, ShapedLink)], ids=repr)
def test_the_trial_lets_every_built_in_link_pass(link):
    check_shape(link, ShapedLink)


def test_a_class_derived_from_a_built_in_one_is_tried_again():
    assert float(own(Sigmoid)()(0.0)) == 0.5
    with pytest.raises(ConfigError, match="shape_slope must be the derivative of shape"):
        own(Sigmoid, shape=lambda x: torch.sigmoid(2 * x))()
    steeper = {
        "shape": lambda x: torch.sigmoid(2 * x),
        "shape_slope": lambda x: 2 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x),
        "shape_divergence": lambda x, y, d: Sigmoid().divergence(2 * x, 2 * y) / 2,
        "shape_difference": lambda x, y, d: Sigmoid().difference(2 * x, 2 * y),
        "shape_primitive": lambda x: Sigmoid().primitive(2 * x) / 2,
        "shape_curvature": lambda x: 4 * Sigmoid().curvature(2 * x),
        "shape_inverse": lambda y: torch.logit(y) / 2,
        "shape_boundary": lambda x, upper: Sigmoid().boundary(2 * x, upper) / 2,
    }
    with pytest.raises(ConfigError, match="must be shape_divergence first, also in float32"):
        own(Sigmoid, **steeper)()
    link = own(Sigmoid, **steeper, single_precision=False)()
    assert float(link.matched(torch.tensor([1.0]), torch.tensor([0.0]))[1]) == pytest.approx(
        1 / (1 + math.exp(-2)) - 0.5, rel=1e-6
    )


def test_a_fall_between_the_places_of_the_trial_is_found_in_use():
    kind = own(shape=lambda z: z - 40 * torch.exp(-(((z - 301.2) / 0.05) ** 2)))
    with pytest.raises(ConfigError, match=r"shape must increase; at x = 301\.2 got -"):
        kind().divergence(301.2, 300.9)


def test_arguments_are_checked_before_the_shape():
    with pytest.raises(ConfigError, match="Arctan: width must be positive, got -1"):
        Arctan(width=-1)
    with pytest.raises(ConfigError, match="Wave: center must be a finite number, got nan"):
        Wave(center=math.nan)


def test_an_own_link_serves_losses():
    from ltr.losses import CompositeSoftmax, Matching

    scores = torch.tensor([[0.3, 1.2, -0.4]], requires_grad=True)
    labels, mask = torch.tensor([[0.0, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool)
    for loss in (Matching(Arctan() + Identity()), CompositeSoftmax(Bent())):
        value = loss(scores, labels, mask)
        assert value.isfinite()
        (gradient,) = torch.autograd.grad(value, scores)
        assert gradient.isfinite().all()
    assert "tests.links.cases.Bent()" in repr(CompositeSoftmax(Bent()))
    assert tests.links.cases.Bent is Bent
