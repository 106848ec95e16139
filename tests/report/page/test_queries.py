"""Which queries get their texts, and what the page's script is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ltr.io.runs import Run
from ltr.report.page.page import Document, Queries
from ltr.report.page.queries import clipped, content, embedded, notable, rankings, rounded
from tests.report.fake import EVIL, queries, values


def test_the_biggest_differences_come_first_and_the_baseline_before_others():
    found = Queries(
        ["tie", "small win", "big win", "loss", "only b and c differ"],
        {
            "mrr": {
                "a": [0.5, 0.5, 0.0, 1.0, 0.5],
                "b": [0.5, 0.6, 0.9, 0.3, 0.6],
                "c": [0.5, 0.5, 0.0, 1.0, 0.0],
            }
        },
        baseline="a",
    )
    assert notable(found) == ["big win", "only b and c differ", "loss", "small win"]
    assert notable(found, kept=2) == ["big win", "only b and c differ"]
    assert notable(found, each=1) == ["big win", "only b and c differ", "loss"]


def test_every_pair_gets_its_first_query_before_any_gets_its_second():
    gains = np.eye(6)
    found = Queries(
        [f"q{i}" for i in range(6)], {"m": {"base": np.zeros(6), **{f"s{i}": gains[i] + 0.1 for i in range(6)}}}
    )
    assert set(notable(found, kept=6)) == {f"q{i}" for i in range(6)}


def test_nothing_is_notable_where_nothing_differs():
    assert notable(Queries(["q"], {"m": {"a": [1.0], "b": [1.0]}})) == []
    assert notable(Queries(["q"], {"m": {"a": [float("nan")], "b": [1.0]}})) == []
    assert notable(Queries(["q"], {"m": {"a": [1.0]}})) == []
    assert notable(Queries([], {})) == []


def test_rankings_hold_the_best_documents_with_labels_and_texts():
    runs = {
        "a": Run.from_dict({"q": {"x": 1.0, "y": 2.0, "z": 0.5}}),
        "b": Run.from_dict({"q": {"z": 3.0}, "other": {"x": 1.0}}),
    }
    asked = []

    def texts(ids):
        asked.append(list(ids))
        return [f"text of {i}" for i in ids]

    found = rankings(["q", "gone"], runs, {"q": {"y": 2}}, texts, depth=2)
    assert found["q"]["a"] == [Document("y", 2.0, 2, "text of y"), Document("x", 1.0, None, "text of x")]
    assert found["q"]["b"] == [Document("z", 3.0, None, "text of z")]
    assert found["gone"] == {"a": [], "b": []}
    assert asked == [["y", "x", "z"]]
    assert rankings(["q"], runs, depth=1)["q"]["a"] == [Document("y", 2.0)]


def test_the_script_is_told_every_document_once():
    document = Document("d", 1.23456789, 1.0, "word " * 100)
    found = Queries(
        ["q", "r"],
        {"m": {"a": [1.0, 0.123456789], "b": [float("nan"), 2.0]}},
        {"q": "text"},
        {"q": {"a": [document], "b": [document]}},
        "b",
        ["m"],
    )
    told = json.loads(embedded(content(found)))
    assert told["values"] == [[[1, 0.12346], [None, 2]]]
    assert told["documents"] == [["d", clipped("word " * 100, 300)]]
    assert told["rankings"] == {"0": {"0": [[0, 1.2346, 1]], "1": [[0, 1.2346, 1]]}}
    assert (told["baseline"], told["smaller"], told["texts"]) == (1, [True], ["text", ""])


def test_no_text_ends_the_script():
    text = embedded({"text": EVIL + "\u2028"})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text)["text"] == EVIL + "\u2028"


def test_two_thousand_queries_of_twenty_systems_stay_small():
    systems = [f"CompositeSoftmax(Identity() + Softplus(center={i}.0), targets=Positives())" for i in range(20)]
    found = queries(2000, systems, ["ndcg@10", "mrr@10", "map"])
    assert len(embedded(content(found)).encode()) < 3_000_000


@pytest.mark.parametrize(
    ("text", "expected"), [("a\n b", "a b"), ("abcdefghij", "abcde …"), ("ab cd ef", "ab …"), ("", "")]
)
def test_texts_are_clipped_at_words(text, expected):
    assert clipped(text, 6) == expected


def test_numbers_keep_five_digits():
    assert [rounded(v) for v in (0.123456789, 1e-9, 123456.0, 2.0, 1e300, float("inf"), None)] == [
        0.12346,
        1e-09,
        123460,
        2,
        1e300,
        None,
        None,
    ]


def test_made_up_values_differ():
    assert len({tuple(v) for v in values(10)["ndcg@10"].values()}) == 8
