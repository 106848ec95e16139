"""The reliability diagram shows the groups that it was given."""

import pytest

from ltr.metrics.calibration import Group
from ltr.report.charts.reliability import draw_reliability
from ltr.report.charts.style import save


def test_a_curve_has_a_point_per_group(tmp_path):
    groups = [Group(0.01, 0.02, 0.01, 0.05, 40), Group(0.2, 0.3, 0.2, 0.4, 40)]
    figure = draw_reliability({"sigmoid": groups})
    (axis,) = figure.axes
    curve = next(line for line in axis.lines if line.get_label() == "sigmoid")
    assert list(curve.get_xdata()) == [0.01, 0.2]
    assert list(curve.get_ydata()) == [0.02, 0.3]
    (bars,) = axis.collections
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
        pytest.approx([0.01, 0.05]),
        pytest.approx([0.2, 0.4]),
    ]
    assert save(figure, tmp_path / "one.svg").stat().st_size > 1000


def test_groups_without_any_stand_at_the_rim():
    (axis,) = draw_reliability({"ours": [Group(0.001, 0.0, 0.0, 0.01, 9), Group(0.999, 1.0, 0.9, 1.0, 9)]}).axes
    curve = next(line for line in axis.lines if line.get_label() == "ours")
    low, high = axis.get_ylim()
    assert list(curve.get_ydata()) == pytest.approx([low, high])
    assert 0 < low < high < 1
