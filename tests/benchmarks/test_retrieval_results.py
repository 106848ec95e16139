"""What is told of retrieval and of its distillation is what was measured, by the spec that is given out."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from ltr.expressions import value_of
from ltr.losses.base import Loss

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
NAMES = ("retrieval", "retrieval-pydocs", "retrieval-distillation", "retrieval-students")


def means(name: str) -> dict[tuple[str, str, str], float]:
    """(data, system, measure) -> mean over queries and seeds."""
    with open(RESULTS / name / "results.csv", newline="") as file:
        return {(row["data"], row["system"], row["measure"]): float(row["mean"]) for row in csv.DictReader(file)}


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each Markdown table, heading first."""
    found = re.findall(r"((?:^\|.*\|\n)+)", text, re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()] for table in found]
    return [[table[0], *table[2:]] for table in rows]


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_beside_the_results_is_the_one_that_is_given_out(name):
    given = (ROOT / "configs" / "benchmarks" / f"{name}.yaml").read_text()
    assert (RESULTS / name / "spec.yaml").read_text() == given


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_of_the_readme_are_the_results_that_are_kept(name):
    kept = means(name)
    shown = 0
    for heading, *rows in tables((RESULTS / name / "README.md").read_text()):
        if heading[:2] != ["data", "system"]:
            continue
        for data, system, *cells in rows:
            for measure, cell in zip(heading[2:], cells, strict=True):
                assert cell == f"{kept[data, system, measure.strip('`')]:.3f}", (data, system, measure)
                shown += 1
    assert shown, "a README without a table of results"


def test_what_the_lists_allow_is_what_was_written_with_them():
    kept = json.loads((RESULTS / "retrieval-distillation" / "lists.json").read_text())["yardsticks"]["means"]
    for heading, *rows in tables((RESULTS / "retrieval-distillation" / "README.md").read_text()):
        if heading[0] == "ranking":
            assert [row[0] for row in rows] == list(kept)
            for name, *cells in rows:
                wanted = [f"{kept[name][measure.strip('`')]:.3f}" for measure in heading[1:]]
                assert cells == wanted, name
            return
    pytest.fail("a README without the table of rankings")


def told(name: str) -> tuple[str, dict[tuple[str, str], float], list[dict]]:
    """The prose, the spreads over seeds of nDCG@10, and all comparisons."""
    with open(RESULTS / name / "results.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "ndcg@10" and int(row["seeds"]) > 1]
    spread = {(row["data"], row["system"]): float(row["seed sd"]) for row in rows}
    compared = json.loads((RESULTS / name / "results.json").read_text())["contrasts"]["rows"]
    return " ".join((RESULTS / name / "README.md").read_text().split()), spread, compared


def test_what_the_prose_tells_of_distillation_was_measured():
    prose, spread, compared = told("retrieval-distillation")
    finds = [row["detectable"] for row in compared if row["measure"] == "ndcg@10"]
    most = max(spread, key=spread.__getitem__)
    assert most == ("medquad", "KLDistillation half · mlp")
    assert f"and the largest spread over seeds, {short(spread[most])})" in prose
    assert f"it turned out to be {short(min(finds))} to {short(max(finds))}." in prose
    assert f"Holm's correction over {len(compared)} comparisons" in prose


def test_what_the_prose_tells_of_students_that_read_text_was_measured():
    prose, _, compared = told("retrieval-students")
    kept = means("retrieval-students")
    finds = {kind: [row["detectable"] for row in compared if of(row, kind)] for kind in ("apart", "cross")}
    spans = [f"{short(min(found))} to {short(max(found))} for `{kind}`" for kind, found in finds.items()]
    assert f"It turned out to be {spans[0]}, and {spans[1]}." in prose
    assert f"Holm's correction over {len(compared)} comparisons" in prose
    cross = [value for (_, system, measure), value in kept.items() if measure == "ndcg@10" and system.endswith("cross")]
    assert f"Its nDCG@10 is {short(min(cross))} to {short(max(cross))} with all losses" in prose
    for row in compared:
        if of(row, "apart") and row["system"].startswith("CompositeSoftmax"):
            value, low, high = (row["difference"][key] for key in ("value", "low", "high"))
            assert f"{short(value)} [{short(low)}, {short(high)}]" in prose, row["system"]


def test_the_temperatures_of_students_are_what_was_measured():
    folder = RESULTS / "retrieval-students"
    with open(folder / "temperatures.csv", newline="") as file:
        kept = {(row["system"], row["measure"]): float(row["mean"]) for row in csv.DictReader(file)}
    spec = yaml.safe_load((folder / "temperatures.yaml").read_text())
    assert set(spec["losses"]) == {system for system, _ in kept} - {"constant (mean of train)", "random order"}
    assert all(isinstance(value_of(loss), Loss) for loss in spec["losses"].values())
    (table,) = (found for found in tables((folder / "README.md").read_text()) if found[0][0] == "loss")
    heading, *rows = table
    assert {row[0] for row in rows} <= {system for system, _ in kept}
    for name, *cells in rows:
        assert cells == [f"{kept[name, measure.strip('`')]:.3f}" for measure in heading[1:]], name


def of(row: dict, kind: str) -> bool:
    """Whether a comparison is one of nDCG@10 of that kind of student."""
    return row["measure"] == "ndcg@10" and row["system"].endswith(kind)


def test_the_rankings_that_students_start_from_are_what_was_evaluated():
    lines = [line.split() for line in (RESULTS / "retrieval-students" / "yardsticks.txt").read_text().splitlines()]
    for heading, *rows in tables((RESULTS / "retrieval-students" / "README.md").read_text()):
        if heading[0] == "ranking":
            for name, *cells in rows:
                words = next(words for words in lines if words[:1] == [name])
                assert cells == [f"{float(words[place]):.3f}" for place in (1, 4, 7)], name
            return
    pytest.fail("a README without the table of rankings")


def test_what_the_prose_tells_of_bi_encoders_was_measured():
    prose, spread, compared = told("retrieval")
    assert f"The spread over seeds is {short(min(spread.values()))} to {short(max(spread.values()))}," in prose
    assert f"Holm's correction over {len(compared)} comparisons" in prose
    for row in compared:
        if row["measure"] == "ndcg@10" and row["p fisher (Holm)"] < 0.05:
            value, low, high = (row["difference"][key] for key in ("value", "low", "high"))
            assert f"{short(value)} [{short(low)}, {short(high)}]" in prose, (row["data"], row["system"])


def test_the_tables_of_bi_encoders_are_what_was_measured():
    kept = means("retrieval")
    _, _, compared = told("retrieval")
    finds = {(row["data"], row["system"]): row["detectable"] for row in compared if row["measure"] == "ndcg@10"}
    bm25 = bm25_of(RESULTS / "retrieval" / "bm25.txt")
    seen = set()
    for heading, *rows in tables((RESULTS / "retrieval" / "README.md").read_text()):
        for data, *cells in rows:
            if heading[:2] == ["collection", "BM25"]:
                values = [bm25[data], *(kept[data, system, "ndcg@10"] for system in heading[2:])]
                assert cells == [f"{value:.3f}" for value in values], data
                seen.add(data)
            elif heading[:2] == ["collection", "test queries"]:
                kinds = ("CompositeSoftmax", "CompositeContrast", "CompositeSoftmaxMatching")
                assert cells[2] == ", ".join(short(finds[data, kind]) for kind in kinds), data
                assert cells[3] == short(finds[data, "InfoNCE, mined"]), data
    assert seen == {data for data, _, _ in kept}


def bm25_of(path: Path) -> dict[str, float]:
    """nDCG@10 of BM25 in the tables of ``ltr evaluate``, each behind the name of its collection."""
    found, data = {}, ""
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) == 1:
            data = words[0]
        elif words[:1] == ["bm25"]:
            found[data] = float(words[1])
    return found


def short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1)
