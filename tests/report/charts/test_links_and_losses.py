"""Pictures show the curves they claim, and files are written whole."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from ltr.errors import ConfigError, DataError, MissingExtra
from ltr.links import Exp, Identity, Piecewise, Sigmoid
from ltr.losses import CompositeSoftmax, ListNet, Matching, RankNet
from ltr.report.charts.links_and_losses import draw_links, draw_losses
from ltr.report.charts.style import save
from tests.losses.cases import LOSSES, made


def curve(axis, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = axis.lines[number].get_data()
    return torch.as_tensor(np.asarray(x)), torch.as_tensor(np.asarray(y))


def test_links_are_drawn_as_they_are():
    links = [Sigmoid(center=2.0), Exp()]
    figure = draw_links(links, range=(-1.0, 3.0), targets=[0.5, 2.0])
    value, slope, near, far = figure.axes
    for i, link in enumerate(links):
        z, shown = curve(value, i)
        assert (float(z[0]), float(z[-1])) == (-1.0, 3.0)
        torch.testing.assert_close(shown, link(z))
        torch.testing.assert_close(curve(slope, i)[1], link.slope(z))
        torch.testing.assert_close(curve(near, i)[1], link.divergence(z, 0.5))
        torch.testing.assert_close(curve(far, i)[1], link.divergence(z, 2.0))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["Sigmoid(center=2.0)", "Exp()"]
    assert near.get_title() == "cost where the target is 0.5"


def test_the_same_budget_means_the_same_mean_slope():
    figure = draw_links([Identity(), Exp(), Sigmoid(center=3.0)], range=(-2.0, 4.0), same_budget=True)
    value, slope, cost = figure.axes
    for i in range(3):
        z, shown = curve(value, i)
        assert float(shown[0]) == pytest.approx(0, abs=1e-12)
        assert float(shown[-1]) == pytest.approx(6.0)
        assert float(torch.trapezoid(curve(slope, i)[1], z)) == pytest.approx(6.0, rel=1e-3)
    # the default target is the middle of the range
    assert float(curve(cost, 0)[1].min()) == pytest.approx(0, abs=1e-9)
    assert float(curve(cost, 0)[0][curve(cost, 0)[1].argmin()]) == pytest.approx(1.0)


def test_a_pointwise_loss_is_a_curve_for_each_label():
    loss = Matching(Sigmoid(), reduction="sum")
    (axis,) = draw_losses([loss], labels=[2.0, -1.0]).axes
    for i, label in enumerate([-1.0, 2.0]):
        z, shown = curve(axis, i)
        torch.testing.assert_close(shown, Sigmoid().divergence(z, label))
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["label −1", "label 2"]
    assert loss.reduction == "sum"
    assert loss.training


def test_a_listwise_loss_is_a_contour_over_two_scores():
    loss = CompositeSoftmax(Identity())
    axis, bar = draw_losses([loss], range=(-2.0, 2.0), labels=[1.0, -1.0, 0.0]).axes
    assert axis.get_xlabel() == "score of the document with label 1"
    assert axis.get_ylabel() == "score of the document with label −1"
    assert "other documents: label 0 at score 0" in axis.get_title()
    assert bar.get_ylabel() == "cost of the list"
    star = next(line for line in axis.lines if line.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (1.0, -1.0)
    arrows = next(c for c in axis.collections if hasattr(c, "U"))
    # in the corner where both stand far from the target, a step moves label 1 up and label -1 down
    assert arrows.U[-11] > 0 > arrows.V[-11]


@pytest.mark.parametrize("expression", LOSSES)
def test_every_loss_can_be_drawn(expression):
    loss = made(expression)
    axis = draw_losses([loss], range=(-2.0, 2.0)).axes[0]
    assert axis.get_title().startswith(type(loss).__name__)
    assert bool(axis.get_legend()) == loss.pointwise


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_saves_the_same_bytes_each_time(tmp_path, suffix, magic):
    links = [Identity(), Sigmoid(center=2), Piecewise((0.0, 2.0), (0.1, 1.0, 0.1))]
    first, second = (save(draw_links(links), tmp_path / f"{n}{suffix}").read_bytes() for n in "ab")
    assert first.startswith(magic)
    assert first == second
    assert len(first) < 150_000


def test_long_names_are_broken_and_digits_cut():
    link = sum([Sigmoid.focus(range=(0.0, k)) for k in (1.0, 2.0, 3.0)], Identity())
    (text,) = draw_links([link]).legends[0].get_texts()
    assert "width=0.2836" in text.get_text()
    assert max(map(len, text.get_text().splitlines())) <= 52


def test_refuses(tmp_path):
    with pytest.raises(ConfigError, match="draw_links: needs at least one link, got none"):
        draw_links([])
    with pytest.raises(ConfigError, match="draw_losses: needs at least one loss, got none"):
        draw_losses([])
    with pytest.raises(ConfigError, match=r"draw_links: range must be two finite scores, low < high, got \(1.0, 1.0\)"):
        draw_links([Exp()], range=(1.0, 1.0))
    with pytest.raises(ConfigError, match="is flat from 2 to 4, and cannot be scaled to a budget"):
        draw_links([Piecewise((0.0, 1.0), (0.0, 1.0, 0.0))], range=(2.0, 4.0), same_budget=True)
    with pytest.raises(ConfigError, match=r"draw_losses: RankNet needs labels of two documents or more, got \[1.0\]"):
        draw_losses([RankNet()], labels=[1.0])
    with pytest.raises(DataError, match="RankNet: labels must be finite"):
        draw_losses([RankNet()], labels=[1.0, float("nan")])
    with pytest.raises(ConfigError, match=r"plot: the output must end in .png, .svg, .pdf, got '.*x.gif'"):
        save(draw_losses([ListNet()]), tmp_path / "x.gif")
    assert list(tmp_path.iterdir()) == []


def test_says_which_extra_brings_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        MissingExtra, match=r"matplotlib is needed to draw, and is not installed: pip install 'ltr\[plot\]'"
    ):
        draw_links([Exp()])
