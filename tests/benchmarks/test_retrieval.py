"""The script that measures retrievers: all ways run, the fastest counts, and what it compares with what."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from tests.benchmarks.conftest import run_here
from tests.tiny_model import save_tiny


def test_all_parts_run_and_are_kept(measured_here, tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers")
    import retrieval

    # in this process, which has imported torch already
    here = SimpleNamespace(run=run_here, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(retrieval, "subprocess", here)
    model = save_tiny(tmp_path / "tiny")
    result, printed = measured_here(retrieval, "--quick", "--model", str(model))
    ways = [(case["part"], case["way"]) for case in result["rows"]]
    assert not [way for _, way in ways if "(" in way]  # why it failed
    assert ways == [
        *(("losses", way) for way in retrieval.LOSS_WAYS),
        *(("train cached", way) for way in retrieval.CACHED_WAYS),
        *(("encode", way) for way in retrieval.TRAIN_WAYS),
        *(("train", way) for way in retrieval.TRAIN_WAYS),
    ]
    assert all(case["ms"] > 0 and case["MB"] >= 0 for case in result["rows"])
    cosines = {case["way"]: case["cosine"] for case in result["rows"] if case["part"] == "encode"}
    assert cosines["ltr fp32"] > 0.99999
    assert cosines["ltr bf16"] > 0.99
    assert "train cached" in printed


def test_a_way_is_compared_with_the_first_of_its_group(speed):
    import retrieval

    base = {"part": "train", "queries": 4, "base": "a"}
    found = [
        {**base, "way": "a", "ms": 10.0, "peak_mb": 100.0},
        {**base, "way": "b", "ms": 5.0, "peak_mb": 50.0},
        {**base, "way": "c", "failed": "no end within 5 s"},
    ]
    lines = retrieval.rows(found)
    assert [(line["x"], line["x MB"]) for line in lines] == [(1.0, 1.0), (0.5, 0.5), (None, None)]
    assert lines[2]["way"] == "c (no end within 5 s)"


def test_each_goal_belongs_to_a_way_that_is_measured(speed):
    import retrieval

    groups = retrieval.cases(["losses", "cached", "encode", "train"], quick=True)
    cases = [{**case, "ms": 2.0, "peak_mb": 1.0} for group in groups for case in group]
    lines = {(line["part"], line["way"]): line for line in retrieval.rows(cases)}
    assert set(retrieval.GOALS) <= set(lines)
    assert all(line["x"] == line["x MB"] == 1 for line in lines.values())  # each finds what it is compared with
    assert lines["train cached", "ltr fp32 cached"]["goal"] == "<= 1.35, <= 0.50 MB"
    assert lines["encode", "ltr bf16"]["goal"] == "<= 0.71"
    assert not lines["losses", "torch cross-entropy"]["goal"]
