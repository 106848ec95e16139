"""A page's values fit together, or say what does not."""

from __future__ import annotations

import pytest

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.report.page.page import Queries, TradeOff, TradePoint


def test_the_front_holds_what_nothing_beats():
    points = [TradePoint("low", 1.0, 3.0), TradePoint("beaten", 2.0, 3.5), TradePoint("high", 3.0, 1.0)]
    smaller = TradeOff("rest", "top", points, x_smaller_is_better=True, y_smaller_is_better=True)
    assert [p.system for p in smaller.front] == ["low", "high"]
    assert [p.system for p in TradeOff("rest", "top", points).front] == ["beaten", "high"]
    mixed = TradeOff("rest", "top", points, x_smaller_is_better=True)
    assert [p.system for p in mixed.front] == ["low", "beaten"]


def test_equal_points_share_the_front_and_values_that_are_none_do_not():
    points = [TradePoint("a", 1.0, 1.0), TradePoint("b", 1.0, 1.0), TradePoint("c", float("nan"), 9.0)]
    assert [p.system for p in TradeOff("x", "y", points).front] == ["a", "b"]
    assert TradeOff("x", "y", baseline="not finished").front == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"baseline": "ab"}, r"trade-off of x and y: the baseline: no point 'ab'; did you mean 'abc'\?"),
        ({"lines": {"widths": ["abc", "xyz"]}}, "line 'widths': no point 'xyz'; "),
    ],
)
def test_a_trade_off_knows_its_points(more, message):
    with pytest.raises(DataError, match=message):
        TradeOff("x", "y", [TradePoint("abc", 0.0, 0.0)], **more)


def test_two_points_of_one_name_are_refused():
    with pytest.raises(DataError, match="'a' has two points; give each its own name"):
        TradeOff("x", "y", [TradePoint("a", 0.0, 0.0), TradePoint("a", 1.0, 0.0)])


def test_queries_name_measures_and_systems():
    queries = Queries(["q"], {"mrr": {"a": [1.0], "b": [0.5]}, "map": {"a": [1.0], "b": [0.5]}})
    assert (queries.measures, queries.systems) == (["mrr", "map"], ["a", "b"])
    empty = Queries([], {}, baseline="a")
    assert (empty.measures, empty.systems) == ([], [])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"values": {"mrr": {"a": [1.0]}}},
            ShapeError,
            r"mrr of 'a' needs one value for each of 2 queries, got shape \(1,\)",
        ),
        (
            {"values": {"mrr": {"a": [1.0, 0.0]}, "map": {"b": [1.0, 0.0]}}},
            DataError,
            r"map must have the systems of mrr, \['a'\], got \['b'\]",
        ),
        ({"baseline": "ab"}, ConfigError, r"no system 'ab' to be the baseline; .*abc"),
        ({"smaller_is_better": ["mr"]}, ConfigError, r"no values of measure 'mr'; .*mrr"),
    ],
)
def test_queries_that_do_not_fit_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        Queries(["q1", "q2"], **{"values": {"mrr": {"abc": [1.0, 0.0]}}, **given})
