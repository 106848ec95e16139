"""The script that measures reranking, on a tiny model; and what it says of scores and arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.conftest import ChildHere


def test_measures_ltr_against_plain_batches(measured_here, tiny_ranker, monkeypatch):
    import rerank

    monkeypatch.setattr(rerank, "Child", ChildHere)
    result, printed = measured_here(
        rerank, "--quick", "--threads=1", f"--model={tiny_ranker}", "--only", "ltr fp32", "sorted batches fp32",
        "ltr int8", "--also", f"lower={tiny_ranker}:bf16",
    )  # fmt: skip
    rows = {row["way"]: row for row in result["rows"]}
    assert list(rows) == ["sorted batches fp32", "ltr fp32", "ltr int8", "lower"]
    assert all(row["docs/s"] > 0 and row["% of the peak"] > 0 for row in rows.values())
    # drift is measured from the first in fp32
    assert rows["sorted batches fp32"]["moved"] == 0
    assert rows["ltr fp32"]["tau"] == 1
    assert rows["ltr fp32"]["moved"] < 1e-4 < min(rows["lower"]["moved"], rows["ltr int8"]["moved"])
    assert rows["ltr fp32"]["MRR"] == rows["sorted batches fp32"]["MRR"]
    # ratios are to sentence-transformers, and there are none without it
    assert all(row["x ST fp32"] is None for row in rows.values())
    assert "2 queries x 8 passages" in printed
    assert "| ltr fp32" in printed
    assert len(result["seconds"]["ltr fp32"]) == 2


def test_what_is_not_installed_is_left_out_and_said(speed, tmp_path, monkeypatch, capsys):
    import rerank

    monkeypatch.setenv("LTR_RIVALS", str(tmp_path))
    assert rerank.open_ways(rerank.chosen(["OpenVINO fp32"], []), {"model": "x"}, 1) == {}
    assert "OpenVINO fp32: left out, its package is not installed (make rivals)" in capsys.readouterr().err


def test_a_way_that_fails_says_why(speed, tmp_path, capsys):
    import rerank

    task = {"model": str(tmp_path / "none"), "device": "cpu", "threads": 1, "max_length": 32, "queries": [], "docs": []}
    assert rerank.open_ways(rerank.chosen(["ltr fp32"], []), task, 1) == {}
    assert "ltr fp32: left out: " in (said := capsys.readouterr().err)
    assert "none" in said


def test_a_model_of_ones_own_is_named_in_full(speed):
    import rerank

    with pytest.raises(SystemExit, match=r"rerank: --also takes NAME=FOLDER:PRECISION, got 'int8=folder'"):
        rerank.chosen(["nothing"], ["int8=folder"])


def test_tau_counts_pairs(speed):
    from common import drift

    one, other = np.array([[4.0, 3, 2, 1], [1.0, 2, 3, 4]]), np.array([[4.0, 3, 1, 2], [4.0, 3, 2, 1]])
    assert drift.kendall(one, other) == pytest.approx(((5 - 1) / 6 - 1) / 2)
    assert drift.kendall(one, np.zeros((2, 4))) == 0


def test_arithmetic_is_that_of_minilm(speed):
    from types import SimpleNamespace

    from common import drift

    config = SimpleNamespace(hidden_size=384, intermediate_size=1536, num_hidden_layers=6)
    # a token meets 6 layers of 12 x 384 x 384 weights; 64 tokens meet each other twice
    weights, meetings = 6 * 12 * 384 * 384, 6 * 2 * 64 * 64 * 384
    assert drift.operations(np.array([64, 64]), config) == 2 * 2 * (64 * weights + meetings)
