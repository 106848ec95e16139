"""What is told of retrieval and of its distillation is what was measured, by the spec that is given out."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
NAMES = ("retrieval", "retrieval-distillation")


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


@pytest.mark.parametrize("name", NAMES)
def test_what_the_prose_tells_of_spread_and_power_was_measured(name):
    with open(RESULTS / name / "results.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "ndcg@10" and int(row["seeds"]) > 1]
    spread = {row["system"]: float(row["seed sd"]) for row in rows}
    told = json.loads((RESULTS / name / "results.json").read_text())["contrasts"]["rows"]
    contrasts = {row["system"]: row for row in told if row["measure"] == "ndcg@10"}
    finds = [row["detectable"] for row in contrasts.values()]
    prose = " ".join((RESULTS / name / "README.md").read_text().split())
    if name == "retrieval":
        assert f"The spread over seeds is {short(min(spread.values()))} to {short(max(spread.values()))}," in prose
        power = [
            short(contrasts[f"Composite{one}"]["detectable"]) for one in ("Softmax", "Contrast", "SoftmaxMatching")
        ]
        assert f"a true difference of {power[0]} nDCG@10 between" in prose
        assert f"{power[1]} to composite contrast, {power[2]} to the matching form" in prose
        least = min(row["p fisher (Holm)"] for row in told)
        assert f"The smallest p of nine comparisons is {short(least, 2)} after Holm" in prose
        assert len(told) == 9
    else:
        most = max(spread, key=spread.__getitem__)
        assert most == "KLDistillation half · mlp"
        assert f"and the largest spread over seeds, {short(spread[most])})" in prose
        assert f"it turned out to be {short(min(finds))} to {short(max(finds))}." in prose
        assert f"Holm's correction over {len(told)} comparisons" in prose


def short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".removeprefix("0")
