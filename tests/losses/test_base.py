"""What the base class does for every loss, seen on the smallest ones."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from ltr import losses
from ltr.errors import ConfigError, DataError
from ltr.links import Identity, Sigmoid
from ltr.losses import (
    ADRMSE,
    MSE,
    ApproxMRR,
    ApproxNDCG,
    InfoNCE,
    KLDistillation,
    Laws,
    ListNet,
    Loss,
    Matching,
    NeuralNDCG,
    RankNet,
)
from ltr.losses.base import as_constructed, has_pair, has_positive, has_two, increasing, positive, refuse


class Steep(Loss):
    """Costs 1e6 per unit of score."""

    laws = Laws(why={"divergence": "a test", "shift": "a test"})

    def costs(self, scores, labels, mask):
        return 1e6 * scores.sum(-1)


def test_float16_gradients_saturate_instead_of_overflowing():
    scores = torch.tensor([[1.0, -2.0]], dtype=torch.float16, requires_grad=True)
    Steep()(scores, torch.zeros(1, 2)).backward()
    assert scores.grad.tolist() == [[65504.0, 65504.0]]
    wide = scores.detach().float().requires_grad_()
    Steep()(wide, torch.zeros(1, 2)).backward()
    assert wide.grad.tolist() == [[1e6, 1e6]]


def test_autocast_is_off_inside_a_loss():
    class Product(Steep):
        def costs(self, scores, labels, mask):
            return (scores @ scores.T).diagonal()

    scores = torch.tensor([[1.0, 1e-4]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cost = Product()(scores, torch.zeros(1, 2))
    assert cost.item() == pytest.approx(1 + 1e-8, rel=1e-7)
    assert cost.dtype == torch.float32


def test_a_mean_does_not_count_lists_that_do_not_contribute():
    scores = torch.tensor([[0.0, 0.0], [5.0, 1.0], [0.0, 0.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    # lists 0 and 2 cost log 2 each; list 1 has no pair
    assert RankNet()(scores, labels).item() == pytest.approx(0.6931472)


def test_laws_name_what_they_leave_unexplained():
    assert Laws().unexplained() == ["divergence", "shift"]
    assert Laws(divergence=True, shift=True).unexplained() == []
    crooked = Laws(ranks=True, kinks=True, lower_bound=-1.0, why={"kinks": "a hinge"})
    assert crooked.unexplained() == ["divergence", "shift", "ranks", "lower_bound"]


def test_repr_shows_every_argument_but_the_usual_reduction():
    assert repr(InfoNCE(0.5)) == "InfoNCE(temperature=0.5)"
    assert repr(InfoNCE(0.5, reduction="sum")) == "InfoNCE(temperature=0.5, reduction='sum')"
    assert repr(Matching(Sigmoid(center=2))) == "Matching(link=Sigmoid(center=2.0), targets=Scores())"
    assert as_constructed(MSE()) == "MSE(targets=Scores())"


def test_links_are_objects():
    assert increasing("Matching", Identity()) == Identity()
    with pytest.raises(ConfigError, match=r"Matching: needs a link object, got the class Sigmoid; write Sigmoid\(\)"):
        Matching(Sigmoid)
    with pytest.raises(ConfigError, match=r"Matching: needs a link such as ltr.links.Sigmoid.*got 'sigmoid'"):
        Matching("sigmoid")
    with pytest.raises(ConfigError, match=r"needs a link such as .*got <built-in"):
        Matching(torch.tanh)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), "2", True, None])
def test_positive_settings(value):
    assert positive("InfoNCE", "temperature", 2) == 2.0
    with pytest.raises(ConfigError, match=rf"InfoNCE: temperature must be a finite number above 0, got {value!r}"):
        InfoNCE(temperature=value)


@pytest.mark.parametrize("loss", [InfoNCE, KLDistillation, ADRMSE, ApproxNDCG, ApproxMRR, NeuralNDCG])
@pytest.mark.parametrize("value", [1e-39, 1e38])
def test_temperatures_that_scores_cannot_be_divided_by(loss, value):
    with pytest.raises(
        ConfigError, match=rf"{loss.__name__}: temperature must be between 1e-30 and 1e30, got {re.escape(repr(value))}"
    ):
        loss(temperature=value)
    # the outermost that are accepted leave finite costs and gradients
    scores = torch.tensor([[-1e4, 0.0, 1e4]], requires_grad=True)
    for value in (1e-30, 1e30):
        cost = loss(temperature=value)(
            scores, torch.tensor([[0.0, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool)
        ).sum()
        assert torch.isfinite(cost)
        assert torch.autograd.grad(cost, scores)[0].isfinite().all()


def test_refused_values_are_named_with_their_place():
    values = torch.tensor([[1.0, 2.5], [3.0, -4.0]])
    refuse("rule", values, values < -10, "advice")
    with pytest.raises(DataError, match=r"^rule, got -4 at list 1, document 1; advice$"):
        refuse("rule", values, values < 0, "advice")
    with pytest.raises(DataError, match=r"^rule, got 2.5 at list 1; advice$"):
        refuse("rule", values[0], values[0] > 2, "advice")


def test_needs_of_lists():
    labels = torch.tensor([[0.0, 2.0, torch.nan], [1.0, 1.0, 5.0], [3.0, torch.nan, torch.nan], [torch.nan] * 3])
    mask = torch.tensor([[True, True, False], [True, True, False], [True, False, False], [False] * 3])
    assert has_pair(labels, mask).tolist() == [True, False, False, False]
    assert has_positive(labels, mask).tolist() == [True, True, True, False]
    assert has_two(labels, mask).tolist() == [True, True, False, False]
    assert has_pair(torch.zeros(2, 0), None).tolist() == [False, False]


def test_names_load_lazily():
    code = (
        "import sys, ltr.losses; assert 'torch' not in sys.modules; ltr.losses.ListNet; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_meet_the_nearest_known_one():
    with pytest.raises(AttributeError, match=r"module 'ltr.losses' has no attribute 'Listnet'; did you mean 'ListNet'"):
        losses.Listnet  # noqa: B018
    assert "ListNet" in dir(losses)
    assert losses.ListNet is ListNet


def test_losses_are_made_from_configurations():
    jsonargparse = pytest.importorskip("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--loss", type=Loss)
    transform = {
        "class_path": "ltr.losses.RunningCenter",
        "init_args": {"link": {"class_path": "ltr.links.Sigmoid", "init_args": {"scale": 8.0}}},
    }
    targets = {"class_path": "ltr.losses.Grades", "init_args": {"scores_by_grade": [0, 1, 3]}}
    setting = {"class_path": "ltr.losses.CompositeSoftmax", "init_args": {"transform": transform, "targets": targets}}
    made = parser.instantiate(parser.parse_object({"loss": setting})).loss
    assert repr(made) == (
        "CompositeSoftmax(transform=RunningCenter(link=Sigmoid(scale=8.0), quantile=0.9, momentum=0.99), "
        "form='proper', targets=Grades(scores_by_grade=(0.0, 1.0, 3.0)))"
    )
