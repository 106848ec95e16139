"""Forest plots, trade-offs and curves show the numbers they were given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ltr.report.charts.charts import draw_curves, draw_forest, draw_tradeoff, folded, mean_curve, signed, verdict
from ltr.report.charts.style import MUTED, STYLES, save
from ltr.report.page.page import Curves, Forest, ForestRow, TradeOff, TradePoint

ROWS = [
    ForestRow("ours", 0.2, 0.1, 0.3, 0.01),
    ForestRow("theirs", -0.2, -0.3, -0.1, 0.0001),
    ForestRow("same", 0.05, -0.1, 0.2, 0.4),
]


def lines(axis) -> list[tuple[list[float], list[float], str, str]]:
    return [
        (list(map(float, x.get_xdata())), list(map(float, x.get_ydata())), to_hex(x.get_color()), x.get_marker())
        for x in axis.lines
    ]


def test_a_forest_has_an_interval_and_a_mark_per_row():
    (axis,) = draw_forest(Forest("ndcg@10", "first", ROWS)).axes
    zero, *drawn = lines(axis)
    assert zero[0] == [0, 0]
    for row, (interval, mark) in zip(ROWS, zip(drawn[::2], drawn[1::2], strict=True), strict=True):
        assert interval[0] == [row.low, row.high]
        assert mark[0] == [row.difference]
        assert interval[1][0] == mark[1][0]
    assert [mark[2:] for mark in drawn[1::2]] == [
        (STYLES[0][0].lower(), "o"),
        (STYLES[1][0].lower(), "s"),
        (MUTED, "o"),
    ]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["ours", "theirs", "same"]
    assert [t.get_text() for t in axis.texts] == [
        "+0.2000 [+0.1000, +0.3000]",
        "p 0.010",
        "−0.2000 [−0.3000, −0.1000]",
        "p 1e-04",
        "+0.0500 [−0.1000, +0.2000]",
        "p 0.400",
    ]


def test_what_is_undefined_is_left_out_beside_a_forest():
    nan = float("nan")
    (axis,) = draw_forest(Forest("m", "b", [ForestRow("one query", 0.1, nan, nan, nan)])).axes
    assert [text.get_text() for text in axis.texts] == ["+0.1000"]


@pytest.mark.parametrize(("p", "shown"), [(0.0004, "p 4e-04"), (1e-200, "p < 1e-06"), (0.0, "p < 1e-06")])
def test_small_p_values_are_told(p, shown):
    (axis,) = draw_forest(Forest("m", "b", [ForestRow("a", 0.1, 0.0, 0.2, p)])).axes
    assert axis.texts[1].get_text() == shown


def test_better_is_to_the_right_also_for_errors():
    assert not draw_forest(Forest("ndcg@10", "first", ROWS)).axes[0].xaxis_inverted()
    assert draw_forest(Forest("rmse", "first", ROWS, smaller_is_better=True)).axes[0].xaxis_inverted()


@pytest.mark.parametrize(
    ("row", "smaller", "expected"),
    [
        (ROWS[0], False, "better"),
        (ROWS[0], True, "worse"),
        (ROWS[1], False, "worse"),
        (ROWS[1], True, "better"),
        (ROWS[2], False, "unclear"),
        (ForestRow("untested", 0.2, 0.1, 0.3), False, "unclear"),
        (ForestRow("edge", 0.2, 0.1, 0.3, 0.05), False, "unclear"),
        (ForestRow("none", float("nan"), 0.1, 0.3, float("nan")), False, "unclear"),
    ],
)
def test_a_verdict_needs_a_small_p(row, smaller, expected):
    assert verdict(Forest("m", "b", [row], smaller), row) == expected


def test_a_trade_off_draws_points_lines_and_front():
    points = [
        TradePoint("a", 1.0, 3.0, label="0.5"),
        TradePoint("b", 2.0, 2.0),
        TradePoint("c", 3.0, 3.5, (2.9, 3.2), (3.4, 3.7)),
    ]
    tradeoff = TradeOff("rest", "top", points, True, True, "c", {"widths": ["a", "b"]})
    figure = draw_tradeoff(tradeoff)
    (axis,) = figure.axes
    drawn = [line[:2] for line in lines(axis) if line[3] != "None" or line[2] == MUTED]
    assert drawn == [([1, 2], [3, 2]), ([1, 2], [3, 2]), ([3], [3.5]), ([3], [3.5])]  # front, widths, c, ring around c
    assert [t.get_text() for t in axis.texts] == ["0.5"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["Pareto front", "widths", "c", "baseline"]
    bars = [segment for container in axis.collections for segment in np.asarray(container.get_segments()).tolist()]
    assert [[2.9, 3.5], [3.2, 3.5]] in [np.round(bar, 6).tolist() for bar in bars]
    assert axis.get_xlabel() == "rest   (← better)"
    assert axis.get_ylabel() == "top   (↓ better)"
    assert draw_tradeoff(TradeOff("x", "y", points)).axes[0].get_ylabel() == "y   (↑ better)"


@pytest.mark.parametrize(("smaller", "expected"), [(True, "steps-post"), (False, "steps-pre")])
def test_the_front_steps_along_what_is_reached(smaller, expected):
    points = [TradePoint("a", 1.0, 1.0), TradePoint("b", 2.0, 2.0 if smaller else 0.5)]
    (axis,) = draw_tradeoff(TradeOff("x", "y", points, x_smaller_is_better=smaller)).axes
    assert axis.lines[0].get_drawstyle() == expected


def test_systems_look_different():
    points = [TradePoint(f"s{i}", i, i) for i in range(20)]
    (axis,) = draw_tradeoff(TradeOff("x", "y", points)).axes
    looks = {(line[2], line[3]) for line in lines(axis) if line[3] != "None"}
    assert len(looks) == 20


def test_names_are_taken_literally():
    figure = draw_tradeoff(TradeOff("x", "y", [TradePoint("_$a$_", 0.0, 0.0)]))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [" _$a$_"]
    assert not figure.legends[0].get_texts()[0].get_parse_math()


def test_curves_have_a_picture_per_system():
    seeds = [[(1, 0.5), (2, 0.75)], [(1, 0.25), (2, 0.25)]]
    figure = draw_curves(Curves("dev mrr", {"ours": seeds, "theirs": [[(1, 0.1), (2, 0.2)]]}))
    ours, theirs = figure.axes
    assert [line[:2] for line in lines(ours)] == [
        ([1, 2], [0.1, 0.2]),  # the other system behind
        ([1, 2], [0.5, 0.75]),
        ([1, 2], [0.25, 0.25]),
        ([1, 2], [0.375, 0.5]),
    ]
    assert ours.get_title("left") == "ours"
    assert len(theirs.lines) == 3


def test_seeds_that_stopped_early_have_their_mean_where_all_are():
    assert mean_curve([[(1, 1.0)], [(2, 1.0)]]).tolist() == []
    assert mean_curve([[], [(2, 1.0)]]).tolist() == [[2.0, 1.0]]
    assert mean_curve([]).shape == (0, 2)


@pytest.mark.parametrize(
    "figure",
    [
        lambda: draw_forest(Forest("m", "b")),
        lambda: draw_forest(Forest("m", "b", [ForestRow("nan", float("nan"), float("nan"), float("nan"))])),
        lambda: draw_tradeoff(TradeOff("x", "y")),
        lambda: draw_tradeoff(TradeOff("x", "y", [TradePoint("nan", float("nan"), 1.0, (float("nan"), 1.0))])),
        lambda: draw_curves(Curves("m")),
        lambda: draw_curves(Curves("m", {"a": [], "b": [[]], "c": [[(1, 1.0)]]})),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_what_is_unfinished_is_drawn_empty(figure, suffix, tmp_path):
    assert save(figure(), tmp_path / f"empty{suffix}").stat().st_size > 500


def test_names_are_folded_between_their_parts():
    name = "CompositeSoftmax(Identity() + Softplus(center=1.0), targets=Positives())"
    assert folded(name, 40).split("\n") == [
        "CompositeSoftmax(Identity() +",
        "Softplus(center=1.0),",
        "targets=Positives())",
    ]
    assert folded("Matching(Sigmoid(center=2.0,width=0.5))", 20).split("\n") == [
        "Matching(Sigmoid(",
        "center=2.0,width=0.5))",
    ]
    assert folded("", 10) == ""


def test_differences_show_their_sign():
    assert [signed(v) for v in (0.5, -0.5, 0.0, -3e-6)] == ["+0.5000", "−0.5000", "+0.0000", "−3.00e-06"]
