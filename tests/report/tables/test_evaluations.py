"""Tables of measured runs: best values, marks, conventions, contrasts."""

import numpy as np
import pytest

from ltr.io.labelled import LabelledLists
from ltr.io.trec import Run
from ltr.metrics.engine import evaluate
from ltr.metrics.measures.labels import evaluate_labels
from ltr.metrics.statistics.paired import compare
from ltr.report.tables.evaluations import (
    contrasts_table,
    conventions,
    label_table,
    long_table,
    means_table,
    per_query_table,
)

QRELS = {f"q{i}": {"a": 1, "b": 0} for i in range(8)}
GOOD = Run.from_dict({q: {"a": 2.0, "b": 1.0} for q in QRELS}, "good")
BAD = Run.from_dict({q: {"a": 1.0, "b": 2.0} for q in QRELS} | {"q0": {"a": 2.0, "b": 1.0}}, "bad")
SHORT = Run.from_dict({q: {"a": 1.0} for q in list(QRELS)[:7]} | {"other": {"a": 1.0}}, "short")


def measured(*runs: Run):
    return [evaluate(run, QRELS, ["mrr", "ndcg@10"]) for run in runs]


def test_means_with_best_marks_and_intervals():
    evaluations = measured(BAD, GOOD)
    comparison = compare(evaluations, tests=("student", "fisher"), resamples=200)
    table = means_table(evaluations, comparison, title="dev")
    assert list(table.columns) == ["run", "mrr", "ndcg@10"]
    bad, good = (row[1] for row in table.rows)
    assert (bad.value, bad.best, bad.marks) == (pytest.approx(4.5 / 8), False, "")
    assert (good.value, good.best, good.marks) == (1.0, True, "†‡")
    assert (bad.low, bad.high) == comparison.intervals["bad", "mrr"]
    assert table.header == evaluations[0].conventions
    assert table.notes[0] == "[low, high]: 95% bootstrap interval (BCa) over queries"
    assert table.notes[1] == (
        "† Student's paired t-test, ‡ Fisher's randomisation test: differs from bad, p < 0.05, "
        "Holm-corrected over 2 comparisons"
    )


def test_one_run_has_no_marks_and_is_not_the_best():
    table = means_table(measured(GOOD))
    assert table.rows[0][1].best is False
    assert list(table.notes) == []


def test_intervals_can_be_left_out():
    evaluations = measured(BAD, GOOD)
    table = means_table(evaluations, compare(evaluations, resamples=100), intervals=False)
    assert table.rows[0][1].low is None
    assert len(table.notes) == 1


def test_conventions_tell_runs_apart_where_they_differ():
    line = conventions(measured(GOOD, SHORT))
    assert line.startswith("8 queries; without relevant documents (count 0): 0; relevant: grade >= 1; ")
    assert "good: missing from the run (count 0): 0, without judgements (left out): 0" in line
    assert "short: missing from the run (count 0): 1, without judgements (left out): 1" in line


def test_contrasts_are_told_in_full():
    comparison = compare(measured(BAD, GOOD), resamples=200)
    table = contrasts_table(comparison)
    assert table.title == "Against bad"
    row = dict(zip(table.columns, table.rows[0], strict=True))
    contrast = comparison.contrasts[0]
    assert (row["run"], row["measure"], row["wins"], row["ties"], row["losses"]) == ("good", "mrr", 7, 1, 0)
    assert row["difference"].value == contrast.difference
    assert (row["p student"], row["p student (Holm)"]) == (contrast.p["student"], contrast.adjusted["student"])


def many(n: int):
    """Two runs on n queries, the second always better, by margins that differ."""
    qrels = {f"q{i}": {"a": 1} for i in range(n)}
    runs = [
        Run.from_dict({q: {"a": 0.0, "b": b, "c": b * (i % 2)} for i, q in enumerate(qrels)}, name)
        for name, b in (("bad", 1.0), ("good", -1.0))
    ]
    return [evaluate(run, qrels, ["mrr", "ndcg@10"]) for run in runs]


def test_the_rule_of_counted_p_values_is_told_with_the_least_that_they_can_be():
    table = contrasts_table(compare(many(40), tests=("fisher",), resamples=50))
    assert list(table.notes) == [
        "[low, high]: 95% bootstrap interval (BCa) over queries",
        "p fisher: the null hypothesis is that both are exchangeable on each query",
        "p fisher: (1 + as large) / (1 + drawn), 100,000 random permutations drawn; the least p is "
        "≤1.0e-05, and the least after Holm's correction ≤2.0e-05",
    ]
    first = table.text().splitlines()[3].split()
    assert first[-2:] == ["≤1.0e-05", "≤2.0e-05"]
    assert table.content()["rows"][0]["p fisher"] == 1 / 100_001
    few = contrasts_table(compare(many(8), tests=("fisher",), resamples=50))
    assert few.notes[-1] == "p fisher where few queries (lists) differ: all ways were counted, p is exact"
    assert "≤" not in few.text()


def test_one_query_has_no_interval_and_no_t():
    evaluations = many(1)
    comparison = compare(evaluations, tests=("student", "fisher"), resamples=50)
    means, differences = means_table(evaluations, comparison), contrasts_table(comparison)
    assert "[" not in means.text().replace("[low, high]", "")
    assert means.notes[0] == differences.notes[0] == "no intervals: one query tells nothing about others"
    assert differences.notes[-1] == (
        "nan: undefined, such as Student's test of one query or of equal differences; never significant"
    )
    row = differences.text().splitlines()[3].split()
    assert row[:4] == ["good", "mrr", "0.1667", "nan"]
    assert long_table(evaluations, comparison).content()["rows"][1]["p student"] is None


def test_the_long_table_holds_means_and_contrasts():
    evaluations = measured(BAD, GOOD)
    table = long_table(evaluations, compare(evaluations, resamples=200))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(r["run"], r["measure"]) for r in rows] == [
        ("bad", "mrr"), ("bad", "ndcg@10"), ("good", "mrr"), ("good", "ndcg@10"),
    ]  # fmt: skip
    assert rows[0]["difference"] is None
    assert rows[2]["difference"].value == pytest.approx(3.5 / 8)
    assert table.notes[-1] == "baseline: bad"
    alone = long_table(measured(GOOD), compare(measured(GOOD), resamples=100))
    assert list(alone.columns) == ["run", "measure", "mean"]


def test_per_query_values():
    table = per_query_table(measured(BAD, GOOD))
    assert list(table.columns) == ["query_id", "run", "mrr", "ndcg@10"]
    assert list(table.rows[2]) == ["q1", "bad", 0.5, pytest.approx(1 / np.log2(3))]
    assert len(table.rows) == 16


def test_the_best_of_label_measures_follows_their_direction():
    truth = LabelledLists(["a", "b"], [0, 2, 4], [3.0, 1.0, 2.0, 0.0])
    near, far = (
        evaluate_labels(np.array(p), truth, ["mae", "spearman", "ndcg_label@1"], name)
        for p, name in (([3.0, 1.0, 2.0, 0.0], "near"), ([0.0, 0.0, 0.0, 0.0], "far"))
    )
    table = label_table([near, far], "Toy")
    assert table.columns == ["run", "mae", "spearman", "ndcg_label@1"]
    assert [[c.best for c in row[1:]] for row in table.rows] == [[True] * 3, [False] * 3]
    assert table.text().splitlines()[0] == "Toy"
    assert table.header == near.conventions
    assert [c.best for c in label_table([far]).rows[0][1:]] == [False] * 3
    assert "nan" in label_table([near, far]).text()
