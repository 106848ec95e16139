"""A pair loss of one's own: what it may say, and what is said where it does not work."""

from __future__ import annotations

import dataclasses
import logging
import math
import re

import pytest
import torch

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.expressions import mapping_of, text_of, value_of
from ltr.links import Asinh
from ltr.losses import (
    CompositeContrast,
    DeltaNDCG,
    GradeDifference,
    Loss,
    PairLoss,
    RankNet,
    Scores,
    Uniform,
    dead_share,
    transform_of,
)
from ltr.losses.engines import blocks, compiled
from tests.losses.own import Absolute, SquaredHinge

SCORES = torch.tensor([[1.0, -1.0, -2.0]], dtype=torch.float64)
LABELS = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)  # pairs (0, 1) with difference 2, (2, 1) with -1


@pytest.fixture(params=["whole", "blocks", "compiled"])
def engine(request, monkeypatch):
    """Each engine in turn adds up the pairs; what torch would compile runs as it is."""
    if request.param != "whole":
        monkeypatch.setattr(blocks, "CPU_PAIRS", 2)
    if request.param == "compiled":
        monkeypatch.setattr(compiled, "DEVICES", {"cpu"})
        monkeypatch.setattr(compiled, "_made", {})
        monkeypatch.setattr(compiled, "_refused", {})
        monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    return request.param


def value_and_gradient(loss, scores=SCORES, labels=LABELS):
    scores = scores.clone().requires_grad_()
    value = loss(scores, labels)
    (gradient,) = torch.autograd.grad(value, scores)
    return value.item(), gradient[0].tolist()


def test_one_function_makes_a_loss(engine):
    # margin 3: misses 1 and 4, slopes -2 and -8, the mean of two pairs
    value, gradient = value_and_gradient(SquaredHinge(3.0))
    assert value == (1 + 16) / 2
    assert gradient == [-1.0, 5.0, -4.0]
    # weights of a pair are those of its labels
    graded = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64)  # and (0, 2) with difference 3
    value, _ = value_and_gradient(SquaredHinge(3.0, GradeDifference()), labels=graded)
    assert value == (2 * 1 + 1 * 16 + 1 * 0) / 4
    assert SquaredHinge(3.0, DeltaNDCG()).laws.ranks
    assert not SquaredHinge(3.0).laws.ranks


def test_differences_may_be_taken_of_other_values_in_another_order(engine):
    class Turned(SquaredHinge):
        """Of transformed scores, lower labels above, all labels from 2 up alike."""

        def values(self, scores):
            return Asinh()(scores)

        def order(self, labels):
            return -labels.clamp(max=2)

    labels = torch.tensor([[3.0, 1.0, 2.0]], dtype=torch.float64)  # pairs (1, 0) and (1, 2)
    value, gradient = value_and_gradient(Turned(), labels=labels)
    high, others = math.asinh(-1), (math.asinh(1), math.asinh(-2))
    missing = [max(0.0, 1 - (high - other)) for other in others]
    assert value == pytest.approx(sum(m * m for m in missing) / 2)
    assert gradient[0] == pytest.approx(missing[0] / math.hypot(1, 1))
    assert Turned().contributes(labels).tolist() == [True]
    assert Turned().contributes(labels.clamp(min=2)).tolist() == [False]
    unknown = torch.tensor([[torch.nan, 1.0, 3.0]])
    assert Turned().contributes(unknown, ~unknown.isnan()).tolist() == [True]


def test_costs_may_depend_on_differences_of_targets(engine):
    class TeacherMargin(SquaredHinge):
        """The margin is the difference of the labels."""

        def problem(self, scores, labels, mask):
            problem = super().problem(scores, labels, mask)
            return dataclasses.replace(problem, pair_cost=self.missing, targets=3 * labels)

        def missing(self, difference, target):
            missing = (target - difference).clamp(min=0)
            return missing**2, -2 * missing

    assert value_and_gradient(TeacherMargin()) == value_and_gradient(SquaredHinge(3.0))


class Exponential(PairLoss):
    """RankBoost's: infinite for pairs far in the wrong order, which no pair here is."""

    def pair_cost(self, difference):
        cost = (-difference).exp()
        return cost, -cost


@pytest.mark.parametrize("weights", [Uniform(), GradeDifference(), DeltaNDCG()], ids=repr)
def test_infinite_costs_of_what_is_no_pair_do_not_matter(engine, weights):
    # exp(1000) is what the pair would cost the other way round, or where two labels are alike
    scores = torch.tensor([[1000.0, 0.0, 0.0]], requires_grad=True)
    for labels, cost in (([1.0, 0.0, 0.0], 0.0), ([1.0, 1.0, 0.0], 0.5)):
        loss = Exponential(weights, reduction="none")
        value = loss(scores, torch.tensor([labels]))
        (gradient,) = torch.autograd.grad(value.sum(), scores)
        assert gradient.isfinite().all()
        if weights != DeltaNDCG():
            assert value.tolist() == [cost]


def test_a_cost_that_is_its_own_slope_and_one_number_for_all_are_taken(engine):
    class Falling(PairLoss):
        def pair_cost(self, difference):
            cost = difference.exp()
            return cost, cost

    class Straight(PairLoss):
        def pair_cost(self, difference):
            return -difference, difference.new_tensor(-1.0).expand_as(difference)

    graded = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64)
    up, down, far = math.exp(2), math.exp(-1), math.exp(3)
    value, gradient = value_and_gradient(Falling(GradeDifference()), labels=graded)
    assert value == pytest.approx((2 * up + down + far) / 4)
    assert gradient == pytest.approx([(2 * up + far) / 4, -(2 * up + down) / 4, (down - far) / 4])
    assert value_and_gradient(Straight()) == (-0.5, [-0.5, 1.0, -0.5])


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (lambda d: d, r"got \(torch.float64 \[.*\]\)"),
        (lambda d: (d, d.sum()), r"got \(torch.float64 \[.*\], torch.float64 \[\]\)"),
        (lambda d: (d, d > 0), r"got \(torch.float64 \[.*\], torch.bool \[.*\]\)"),
        (lambda d: (d, None), r"got \(torch.float64 \[.*\], None\)"),
    ],
)
@pytest.mark.parametrize("limit", [1 << 18, 2])
def test_costs_of_another_form_are_refused(returned, got, limit, monkeypatch):
    class Wrong(PairLoss):
        def pair_cost(self, difference):
            return returned(difference)

    monkeypatch.setattr(blocks, "CPU_PAIRS", limit)
    with pytest.raises(
        ShapeError,
        match=rf"Wrong.pair_cost: must return \(cost, slope\), two tensors torch.float64 \[.*\] like .*, {got}",
    ):
        Wrong()(SCORES, LABELS)


def test_what_cannot_be_compiled_is_added_up_in_blocks_with_a_warning(monkeypatch, caplog):
    class Asking(SquaredHinge):
        def pair_cost(self, difference):
            return super().pair_cost(difference if float(difference.sum()) > 1e9 else difference + 0)

    monkeypatch.setattr(blocks, "CPU_PAIRS", 2)
    monkeypatch.setattr(compiled, "DEVICES", {"cpu"})
    monkeypatch.setattr(compiled, "_made", {})
    monkeypatch.setattr(compiled, "_refused", {})
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **settings: real(f, dynamic=True, fullgraph=True, backend="eager"))
    with caplog.at_level(logging.WARNING, "ltr.losses.engines.compiled"):
        assert value_and_gradient(Asking(3.0)) == value_and_gradient(SquaredHinge(3.0))
    said = [record.getMessage() for record in caplog.records if record.name == "ltr.losses.engines.compiled"]
    assert len(said) == 1
    assert re.match(
        r"a loss of Asking\(margin=3.0, pair_weights=Uniform\(\)\), Uniform\(\) is not compiled and", said[0]
    )


def test_kernels_are_shared_by_losses_with_equal_settings(monkeypatch):
    monkeypatch.setattr(blocks, "CPU_PAIRS", 2)
    monkeypatch.setattr(compiled, "DEVICES", {"cpu"})
    monkeypatch.setattr(compiled, "_made", {})
    made, real = [], torch.compile

    def backend(graph, inputs):
        made.append(graph)
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", lambda f, **settings: real(f, dynamic=True, fullgraph=True, backend=backend))
    for loss in (SquaredHinge(3.0), SquaredHinge(3.0, reduction="sum"), SquaredHinge(3.0).eval()):
        value_and_gradient(loss)
    assert len(made) == 1
    value_and_gradient(SquaredHinge(2.0))
    assert (len(made), len(compiled._made)) == (2, 1)
    for loss in (RankNet(), CompositeContrast(Asinh())):  # one function
        value_and_gradient(loss)
    assert len(compiled._made) == 2


def test_classes_without_a_cost_are_refused_when_they_are_made():
    class Empty(PairLoss):
        """Nothing."""

    class Nothing(Loss):
        """Nothing."""

    with pytest.raises(
        ConfigError, match=r"^Empty: a PairLoss must define pair_cost\(self, difference\), which returns"
    ):
        Empty()
    with pytest.raises(ConfigError, match=r"^Nothing: a Loss must define costs\(self, scores, labels, mask\), which"):
        Nothing()
    with pytest.raises(ConfigError, match=r"^SquaredHinge: pair_weights must be an object such as .*, got 'uniform'"):
        SquaredHinge(pair_weights="uniform")
    with pytest.raises(DataError, match=r"^SquaredHinge: grades must be whole numbers"):
        SquaredHinge(pair_weights=DeltaNDCG())(torch.zeros(1, 2), torch.tensor([[1.5, 1.0]]))


@pytest.mark.parametrize("per_document", [True, False])
def test_costs_of_another_shape_are_refused(per_document):
    class Odd(Loss):
        pointwise = per_document

        def costs(self, scores, labels, mask):
            return (scores - labels).sum(-1) if per_document else scores - labels

    what = (
        r"document, \[lists, docs\] \[1, 3\], got \[1\]$"
        if per_document
        else r"list, \[lists\] \[1\], got \[1, 3\]; a mean"
    )
    with pytest.raises(ShapeError, match=rf"^Odd: costs must return one cost per {what}"):
        Odd()(SCORES, LABELS)


@pytest.mark.parametrize("loss", [SquaredHinge(0.5, GradeDifference()), Absolute(reduction="sum")], ids=repr)
def test_own_losses_go_through_expressions_and_configurations(loss):
    text = text_of(loss)
    assert text.startswith(f"tests.losses.own.{type(loss).__name__}(")
    assert repr(value_of(text, None)) == repr(loss)
    assert repr(value_of(mapping_of(text, None), None)) == repr(loss)
    jsonargparse = pytest.importorskip("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--loss", type=Loss)
    read = parser.instantiate(parser.parse_object({"loss": mapping_of(text, None)})).loss
    assert repr(read) == repr(loss)
    with pytest.raises(ConfigError, match="no link or loss 'PairLoss'"):
        value_of("PairLoss()")


def test_a_repr_shows_what_a_loss_does_not_keep():
    class Forgetful(Absolute):
        def __init__(self, rate: float = 1.0, *rest: int, **more: int):
            super().__init__()

    assert repr(Forgetful(2.0)) == "Forgetful(rate=Ellipsis)"
    with pytest.raises(ConfigError, match=r"it keeps no 'rate'; let __init__ set self\.rate to what it was given"):
        text_of(Forgetful())


def test_what_an_own_loss_calls_transform_need_not_be_one():
    class Named(Absolute):
        transform, link = "log", Scores()

    assert transform_of(Named()) is None
    assert dead_share(Named(), SCORES) is None
    assert transform_of(CompositeContrast(Asinh())) == Asinh()
