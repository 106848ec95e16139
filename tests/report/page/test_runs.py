"""Runs become a section of a page, and a table of the queries on which they differ most."""

from __future__ import annotations

import numpy as np
import pytest

from ltr.io.runs import Run
from ltr.metrics.engine import Evaluation
from ltr.metrics.statistics.paired import compare
from ltr.report.page.page import Document
from ltr.report.page.runs import differences_table, forests, runs_section

QUERIES = ["q1", "q2", "q3", "q4"]
VALUES = {"base": [0.5, 0.5, 0.5, 0.5], "ours": [0.75, 0.5, 0.0, 1.0], "same": [0.5, 0.5, 0.5, 0.5]}
EVALUATIONS = [Evaluation(name, QUERIES, {"mrr": np.array(v), "map": np.array(v) / 2}) for name, v in VALUES.items()]


def test_the_biggest_gains_come_first_and_the_biggest_losses_last():
    table = differences_table(EVALUATIONS, "base", "mrr")
    assert table.columns == ["run", "query", "base", "the run", "difference"]
    assert table.rows == [
        ["ours", "q4", 0.5, 1.0, 0.5],
        ["ours", "q1", 0.5, 0.75, 0.25],
        ["ours", "q3", 0.5, 0.0, -0.5],
    ]
    assert [row[1] for row in differences_table(EVALUATIONS, "base", "mrr", 1).rows] == ["q4", "q3"]


def test_texts_have_a_column_of_their_own():
    table = differences_table(EVALUATIONS, "base", "mrr", 1, {"q4": "many words " * 20})
    assert table.columns[2] == "text"
    assert table.rows[0][2].endswith("words …")
    assert len(table.rows[0][2]) <= 62
    assert table.rows[1][2] == ""


def test_equal_runs_say_so():
    assert differences_table([EVALUATIONS[0], EVALUATIONS[2]], "base", "mrr").notes == ["no query differs"]


def test_a_forest_per_measure_marks_what_all_tests_agree_on():
    lifted = Evaluation("ours", QUERIES, {m: v + 0.1 * np.arange(4) for m, v in EVALUATIONS[0].values.items()})
    comparison = compare([EVALUATIONS[0], lifted, EVALUATIONS[2]], "base", ["student", "fisher"])
    first, second = forests(comparison)
    assert (first.measure, second.measure, first.baseline, first.level) == ("mrr", "map", "base", 0.95)
    assert [row.system for row in first.rows] == ["ours", "same"]
    contrast = comparison.contrast("ours", "mrr")
    ours = first.rows[0]
    assert (ours.difference, ours.low, ours.high) == (contrast.difference, contrast.low, contrast.high)
    assert ours.p == max(contrast.adjusted.values()) > min(contrast.adjusted.values())
    assert forests(compare(EVALUATIONS, "base", []))[0].rows[0].p is None
    assert forests(compare(EVALUATIONS[:1])) == []


@pytest.fixture
def section():
    runs = {name: Run.from_dict({q: {"d1": 1.0, "d2": 2.0} for q in QUERIES}, name) for name in VALUES}
    qrels = {q: {"d1": 2} for q in QUERIES}
    comparison = compare(EVALUATIONS, "base")
    return runs_section(
        "some data", EVALUATIONS, comparison, runs, qrels, {"q1": "text"}, lambda ids: [f"of {i}" for i in ids], 2
    )


def test_a_section_holds_tables_forests_and_queries(section):
    assert section.name == "some data"
    assert [table.title for table in section.tables] == ["Means", "Against base"]
    assert len(section.forests) == 2
    assert section.queries.systems == ["base", "ours", "same"]
    assert section.queries.baseline == "base"
    assert section.queries.values["mrr"]["ours"].tolist() == VALUES["ours"]
    assert section.queries.texts == {"q1": "text"}


def test_documents_are_those_of_the_queries_that_differ(section):
    assert set(section.queries.rankings) == {"q1", "q3", "q4"}
    assert section.queries.rankings["q4"]["ours"] == [
        Document("d2", 2.0, None, "of d2"),
        Document("d1", 1.0, 2, "of d1"),
    ]


def test_an_undefined_test_leaves_a_forest_undecided():
    base, ours = (
        Evaluation(name, ["q1", "q2"], {"mrr": np.array(v)}) for name, v in (("a", [0.0, 0]), ("b", [0.5, 0.5]))
    )
    for tests in (["student", "fisher"], ["fisher", "student"]):
        assert np.isnan(forests(compare([base, ours], tests=tests, resamples=20))[0].rows[0].p)
