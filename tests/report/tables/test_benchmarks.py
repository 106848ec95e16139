"""Tables of systems over seeds: what stands in which cell, in all formats."""

import csv
import json
import math
from dataclasses import replace

import pytest

from ltr.metrics.measures.measure import parse
from ltr.metrics.statistics.contrasts import Contrast
from ltr.metrics.statistics.p_values import PermutationTest
from ltr.metrics.statistics.seeds import Summary
from ltr.report.tables.benchmarks import contrasts_over_seeds, summaries_table, systems_table
from ltr.report.tables.table import Cell


def summary(system, measure, mean, data="toy", **others):
    found = Summary(
        data, system, parse(measure), mean, mean - 0.1, mean + 0.2, 0.05, mean - 0.06, mean + 0.07, mean - 0.3, mean + 0.3, 3, 40
    )  # fmt: skip
    return replace(found, **others)


def contrast(system, measure, difference, p, data="toy", wins=5, **others):
    found = Contrast(
        data, system, "base", parse(measure), difference, difference - 0.1, difference + 0.1, 0.5,
        wins, None if wins is None else 3, None if wins is None else 2, 0.123, 40, p, p,
    )  # fmt: skip
    return replace(found, **others)


SUMMARIES = [
    summary("base", "ndcg@10", 0.5), summary("base", "rmse", 1.5),
    summary("ours", "ndcg@10", 0.75), summary("ours", "rmse", 1.25),
]  # fmt: skip
CONTRASTS = [
    contrast("ours", "ndcg@10", 0.25, {"student": 0.2, "fisher": 0.01}),
    contrast("ours", "rmse", -0.25, {"student": 0.001, "fisher": 0.002}, wins=None),
]


def test_both_spreads_stand_in_a_cell_and_the_best_follows_the_direction():
    costs = {("toy", "base"): {"seconds": 12.5}, ("toy", "ours"): {"seconds": 30.0, "peak MB": 800}}
    table = systems_table(SUMMARIES, CONTRASTS, costs, "Toy", "40 queries")
    lines = table.text().splitlines()
    assert lines[:2] == ["Toy", "40 queries"]
    assert lines[2].split() == ["system", "ndcg@10", "rmse", "seconds", "peak", "MB"]
    base, ours = lines[4:6]
    assert "0.5000 [0.4000, 0.7000] ± 0.0500 " in base
    assert base.endswith("12.5000")
    assert "0.7500 [0.6500, 0.9500] ± 0.0500‡" in ours
    assert "1.2500 [1.1500, 1.4500] ± 0.0500†‡" in ours
    assert ours.endswith("30.0000      800")
    assert [[c.best for c in row[1:3]] for row in table.rows] == [[False, False], [True, True]]
    assert list(table.notes) == [
        "[low, high]: 95% bootstrap interval (BCa; pooled measures: lists resampled, percentiles) over queries, of the mean "
        "over seeds",
        "±: standard deviation over 3 seeds of the mean over queries",
        "† Student's paired t-test, ‡ Fisher's randomisation test: differs from base, p < 0.05, Holm-corrected over 2 "
        "comparisons",
        "smaller is better: rmse",
    ]


def test_every_format_tells_interval_spread_and_marks():
    table = systems_table(SUMMARIES, CONTRASTS)
    header, *rows = csv.reader(table.csv().splitlines())
    assert header[1:6] == ["ndcg@10", "ndcg@10 low", "ndcg@10 high", "ndcg@10 spread", "ndcg@10 marks"]
    assert rows[1][1:6] == ["0.75", "0.65", "0.95", "0.05", "‡"]
    found = json.loads(table.json())["rows"][1]
    assert found["rmse"] == {"value": 1.25, "low": 1.15, "high": 1.45, "spread": 0.05, "marks": "†‡"}
    assert "**0.7500 [0.6500, 0.9500] ± 0.0500**‡" in table.markdown()
    assert r"\textbf{0.7500 [0.6500, 0.9500] $\pm$ 0.0500}$^{\ddagger}$" in table.latex()


def test_several_data_sets_have_a_column_and_a_best_each():
    more = [summary("base", "ndcg@10", 0.9, "other"), summary("ours", "ndcg@10", 0.2, "other")]
    table = systems_table([*SUMMARIES, *more])
    assert table.columns == ["data", "system", "ndcg@10", "rmse"]
    assert [row[:2] for row in table.rows] == [["toy", "base"], ["toy", "ours"], ["other", "base"], ["other", "ours"]]
    assert [row[2].best for row in table.rows] == [False, True, True, False]
    assert table.rows[2][3].value is None  # not measured there
    assert not any("differs from" in note for note in table.notes)


def test_what_is_undefined_is_shown_and_never_best():
    nan = math.nan
    undefined = summary("flat", "spearman", nan, low=nan, high=nan, seed_sd=nan, n_seeds=1)
    table = systems_table([undefined, summary("ours", "spearman", 0.5, n_seeds=1, seed_sd=nan)])
    flat, ours = (row[1] for row in table.rows)
    assert (flat.shown(4), flat.best, ours.best) == ("nan", False, True)
    assert ours.shown(4) == "0.5000 [0.4000, 0.7000]"
    assert not any(note.startswith("±") for note in table.notes)
    assert json.loads(table.json())["rows"][0]["spearman"]["value"] is None
    assert systems_table([undefined, replace(undefined, system="flat too")]).rows[0][1].best is False


def test_contrasts_with_the_smallest_detectable_difference():
    table = contrasts_over_seeds(CONTRASTS)
    assert table.title == "Against base"
    assert table.columns == [
        "system", "measure", "difference", "effect d", "wins", "ties", "losses", "detectable",
        "p student", "p student (Holm)", "p fisher", "p fisher (Holm)",
    ]  # fmt: skip
    first, second = table.text().splitlines()[3:5]
    assert first.split() == [
        *("ours", "ndcg@10", "0.2500", "[0.1500,", "0.3500]‡", "0.50", "5", "3", "2", "0.1230"),
        *("0.2000", "0.2000", "0.0100", "0.0100"),
    ]
    assert "-0.2500 [-0.3500, -0.1500]†‡" in second
    notes = " ".join(table.notes)
    assert "smallest true difference that a test on these queries finds with 80 % power" in notes
    assert "smaller is better: rmse" in notes
    assert "measures that pool the documents of all lists have none" in notes
    assert "Holm-corrected over 2 comparisons" in notes


def test_contrasts_of_several_data_sets_and_one_comparison():
    table = contrasts_over_seeds([*CONTRASTS, contrast("ours", "ndcg@10", 0.1, {"fisher": 0.5}, "other")], "All")
    assert (table.title, table.columns[0], table.rows[2][0]) == ("All", "data", "other")
    assert table.rows[2][9:11] == [None, None]  # no Student's test there
    alone = contrasts_over_seeds(CONTRASTS[:1])
    assert "one comparison" in " ".join(alone.notes)
    assert "have none" not in " ".join(alone.notes)


def test_contrasts_that_are_not_corrected_have_no_marks():
    table = contrasts_over_seeds([replace(c, adjusted={}) for c in CONTRASTS])
    assert [row[2].marks for row in table.rows] == ["", ""]
    assert not any("differs from" in note for note in table.notes)


def test_every_figure_has_a_column_for_programs():
    (row,) = summaries_table(SUMMARIES[:1]).content()["rows"]
    assert row == pytest.approx(
        {"data": "toy", "system": "base", "measure": "ndcg@10", "mean": 0.5, "low": 0.4, "high": 0.7, "seed sd": 0.05,
         "seed min": 0.44, "seed max": 0.57, "seed low": 0.2, "seed high": 0.8, "seeds": 3, "queries": 40}
    )  # fmt: skip


def test_the_note_tells_what_changes_places_and_how_often():
    found = [
        contrast("ours", "ndcg@10", 0.1, {"fisher": 1 / 100_001}, counted={"fisher": PermutationTest(1 / 100_001, 100_000, 100_000)}),
        contrast("ours", "rmse_top.2", 0.1, {"fisher": 0.04}, counted={"fisher": PermutationTest(0.04, 1000, 100_000)}),
        contrast("ours", "spearman", 0.1, {"fisher": 0.002}, counted={"fisher": PermutationTest(0.002, 9980, 10_000)}),
        contrast("ours", "kendall", 0.1, {"fisher": 0.25}, counted={"fisher": PermutationTest(0.25)}),
    ]  # fmt: skip
    table = contrasts_over_seeds(found)
    assert list(table.notes)[4:] == [
        "p fisher: the null hypothesis is that both are exchangeable on each query; of pooled measures on each list, by "
        "predictions (rmse_top.2) or each seed's pooled ranks (spearman, kendall)",
        "p fisher (ndcg@10, rmse_top.2): (1 + as large) / (1 + drawn), 1,000 to 100,000 of at most 100,000 random "
        "permutations drawn; the least p is ≤1.0e-05, and the least after Holm's correction ≤4.0e-05",
        "p fisher (spearman): (1 + as large) / (1 + drawn), 9,980 of at most 10,000 random permutations drawn; the least p "
        "is ≤0.0001, and the least after Holm's correction ≤0.0004",
        "p fisher where few queries (lists) differ: all ways were counted, p is exact",
    ]
    assert [row[-2] for row in table.rows] == [Cell(1 / 100_001, bound=True), 0.04, 0.002, 0.25]
    assert "no interval of one query" in systems_table([summary("a", "rmse", 0.5, n_queries=1)]).notes[1]
