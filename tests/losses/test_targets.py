"""What labels can mean, and which meanings a loss refuses."""

from __future__ import annotations

import pytest
import torch

from ltr.errors import ConfigError, DataError
from ltr.links import Exp, Identity, Sigmoid, Tanh
from ltr.losses import (
    BCE,
    MSE,
    CompositeSoftmax,
    Dual,
    Gains,
    Grades,
    LabelSoftmax,
    ListNet,
    Matching,
    Positives,
    Scores,
    SoftmaxCE,
)
from ltr.losses.targets import READINGS, fitting

ALL = [Scores(), Grades(), Dual(), Gains(), LabelSoftmax(), Positives()]
LABELS = torch.tensor([[0.0, 2.0, 1.0, 9.0]], dtype=torch.float64)
MASK = torch.tensor([[True, True, True, False]])


def distribution(targets, transform=Identity()):  # noqa: B008 (a frozen value)
    return targets.distribution(LABELS, MASK, transform)[0].tolist()


def test_distributions_by_hand():
    e = torch.tensor([0.0, 2.0, 1.0], dtype=torch.float64)
    assert distribution(Scores()) == pytest.approx([*e.softmax(0).tolist(), 0])
    assert distribution(Scores(), Identity(scale=3.0)) == pytest.approx([*(3 * e).softmax(0).tolist(), 0])
    assert distribution(LabelSoftmax(0.5), Exp()) == pytest.approx([*(2 * e).softmax(0).tolist(), 0])
    assert distribution(Gains()) == pytest.approx([0, 0.75, 0.25, 0])
    assert distribution(Gains("linear")) == pytest.approx([0, 2 / 3, 1 / 3, 0])
    assert distribution(Positives()) == pytest.approx([0, 0.5, 0.5, 0])
    graded = Grades([-1.0, 0.0, 4.0]).distribution(LABELS[:, :3], MASK[:, :3], Identity())
    assert graded[0].tolist() == pytest.approx(torch.tensor([-1.0, 4.0, 0.0]).softmax(0).tolist(), rel=1e-6)


@pytest.mark.parametrize("targets", [t for t in ALL if "distribution" in t.readings])
def test_distributions_sum_to_one_over_real_documents(targets):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(1, 4, (5, 7), generator=generator).double()
    mask = torch.rand(5, 7, generator=generator) < 0.7
    q = targets.distribution(labels, mask, Sigmoid(scale=4.0))
    assert q.sum(-1).tolist() == pytest.approx([1.0] * 5)
    assert (q[~mask] == 0).all()
    assert q.log().equal(targets.log_distribution(labels, mask, Sigmoid(scale=4.0)).exp().log())


def test_lists_without_a_gain_have_no_distribution_and_no_nan():
    q = Gains().distribution(torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool), None)
    assert q.tolist() == [[0.0, 0.0, 0.0]]


def test_grades_map_to_scores():
    grades = Grades([-1, 0.5, 3])
    assert grades.scores_by_grade == (-1.0, 0.5, 3.0)
    assert grades.scores(torch.tensor([[2.0, 0.0]])).tolist() == [[3.0, -1.0]]
    for dtype in (torch.int64, torch.float16, torch.float32):
        # 0.1 in half precision is another score
        assert grades.scores(torch.tensor([[2, 0]], dtype=dtype)).dtype == torch.float32
        assert Grades([0.1, 0.5]).scores(torch.tensor([0, 1], dtype=dtype)).tolist() == pytest.approx([0.1, 0.5])
    assert repr(Grades()) == "Grades(scores_by_grade=(0.0, 1.0, 2.0, 3.0, 4.0))"


@pytest.mark.parametrize("scores", [[1.0], [2.0, 1.0], [0.0, float("nan")], [0.0, float("inf")]])
def test_grades_need_rising_scores(scores):
    with pytest.raises(ConfigError, match=r"Grades: scores_by_grade must be two or more finite scores that never fall"):
        Grades(scores)


@pytest.mark.parametrize("label", [-1.0, 5.0, 1.5])
def test_labels_that_are_no_grades_are_refused_with_their_place(label):
    labels = torch.tensor([[0.0, 1.0], [4.0, label]])
    with pytest.raises(
        DataError, match=rf"MSE: labels must be grades 0 to 4.*got {label:g} at list 1, document 1; give"
    ):
        MSE(Grades())(torch.zeros(2, 2), labels)
    mask = torch.tensor([[True, True], [True, False]])
    assert MSE(Grades())(torch.zeros(2, 2), labels, mask).isfinite()


@pytest.mark.parametrize(
    ("targets", "link", "label", "range_"),
    [
        (Dual(), Sigmoid(), 1.5, r"\[0, 1\]"),
        (Dual(), Sigmoid(scale=3.0), -0.1, r"\[0, 3\]"),
        (Dual(), Exp(), -1.0, r"\[0, inf\]"),
        (Dual(normalised=True), Tanh(), -0.5, r"\[0, 1\]"),
    ],
)
def test_dual_labels_outside_the_closure_are_refused(targets, link, label, range_):
    with pytest.raises(
        DataError, match=rf"Matching: .* must lie in {range_}, got {label:g} at list 0, document 1; map"
    ):
        Matching(link, targets)(torch.zeros(1, 2), torch.tensor([[0.5, label]]))


def test_the_ends_of_the_range_are_inside_whatever_their_rounding():
    for scale in (0.1, 0.3, 1 / 3, 0.7):
        top = torch.tensor([[scale]])  # float32: for 0.1 a little above the double
        Dual().check("Matching", top, torch.ones(1, 1, dtype=torch.bool), Sigmoid(scale=scale))
        ends = Dual(normalised=True).dual(torch.tensor([0.0, 1.0]), Tanh(scale=scale))
        assert ends.tolist() == torch.tensor([-scale, scale]).tolist()
    odd = Tanh(scale=1.6) + Sigmoid(scale=1.3)
    low, high = odd.range
    assert low + (high - low) != high
    assert Dual(normalised=True).dual(torch.tensor([0.0, 1.0], dtype=torch.float64), odd).tolist() == [low, high]


@pytest.mark.parametrize("targets", [Dual(normalised=True), Positives()])
@pytest.mark.parametrize("link", [Identity(), Exp(), Sigmoid() + 0.1 * Identity()])
def test_unbounded_links_have_no_top_for_normalised_labels(targets, link):
    with pytest.raises(ConfigError, match=r"Matching: .* needs a link that is bounded on both sides.*Identity part"):
        Matching(link, targets)


@pytest.mark.parametrize(
    ("build", "readings"),
    [
        (lambda t: Matching(Sigmoid(), t), {"scores", "dual"}),
        (lambda t: CompositeSoftmax(Sigmoid(), targets=t), {"distribution"}),
        (lambda t: CompositeSoftmax(Identity(), form="matching", targets=t), {"scores"}),
        (BCE, {"dual"}),
        (MSE, {"scores"}),
        (ListNet, {"distribution"}),
        (SoftmaxCE, {"distribution"}),
    ],
)
@pytest.mark.parametrize("targets", ALL, ids=repr)
def test_losses_take_targets_that_fit_and_refuse_others(build, readings, targets):
    if targets.readings & readings:
        assert build(targets).targets == targets
        return
    need = " or ".join(READINGS[r] for r in READINGS if r in readings)
    with pytest.raises(ConfigError, match=rf"targets must be readable as {need} \(.*got {type(targets).__name__}"):
        build(targets)


def test_targets_are_objects():
    with pytest.raises(ConfigError, match=r"ListNet: targets needs an object, got the class Gains; write Gains\(\)"):
        ListNet(Gains)
    with pytest.raises(ConfigError, match=r"ListNet: targets must be readable as a distribution .*got 'gains'"):
        ListNet("gains")
    assert fitting("x", Scores(), "scores") == Scores()


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"LabelSoftmax: temperature must be a finite number above 0, got 0"):
        LabelSoftmax(0)
    with pytest.raises(ConfigError, match=r"Gains: gains must be .*got 'exponentiall'; did you mean 'exponential'"):
        Gains("exponentiall")


def test_targets_are_values():
    assert Gains() == Gains("exponential") != Gains("linear")
    assert len({Grades([0, 1]), Grades((0.0, 1.0))}) == 1
