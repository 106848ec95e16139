"""The script that measures losses: what it runs, how it compares, and what it says of what is missing."""

from __future__ import annotations

import pytest


def test_measures_ltr_and_dense_torch_and_keeps_both(measured, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "growth.png"
    arguments = ["--quick", "--losses", "RankNet", "ApproxNDCG", "MarginMSE", "--plot", str(picture)]
    result, printed = measured("losses", *arguments)
    assert [(c["library"], c["loss"], c["size"]) for c in result["cases"]] == [
        ("ltr", "RankNet", "2x5"),
        ("dense torch", "RankNet", "2x5"),
        ("ltr", "ApproxNDCG", "2x5"),
        ("dense torch", "ApproxNDCG", "2x5"),
        ("ltr", "MarginMSE", "2x5"),
    ]
    assert all(case["ms"] > 0 and case["peak_mb"] >= 0 for case in result["cases"])
    assert {c["size"] for c in result["growth"]} == {"4x10", "4x30"}
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert {"torch", "ltr"} <= set(result["versions"])
    assert "fastest eager other" in printed


def test_every_loss_of_a_library_is_one_of_ltrs(speed):
    from common.loss_steps import LIBRARIES, LTR

    for library, (losses, _) in LIBRARIES.items():
        assert set(losses) <= set(LTR), library


def test_lines_compare_with_the_fastest_eager_library(speed):
    import losses

    cases = [
        {"library": "ltr", "loss": "RankNet", "size": "1x2", "ms": 2.0, "peak_mb": 5.0},
        {"library": "dense torch", "loss": "RankNet", "size": "1x2", "ms": 8.0, "peak_mb": 50.0},
        {"library": "allrank", "loss": "RankNet", "size": "1x2", "ms": 6.0, "peak_mb": 70.0},
        {"library": "rax", "loss": "RankNet", "size": "1x2", "ms": 1.0, "peak_mb": 90.0},
        {"library": "ltr", "loss": "NeuralNDCG", "size": "1x2", "failed": "no memory"},
    ]
    found = losses.rows(cases, dict.fromkeys(["ltr", "dense torch", "allrank", "rax"]))
    assert found[0]["fastest eager other"] == "allrank"
    assert found[0]["times ltr's"] == 3.0
    assert (found[0]["ltr MB"], found[0]["least other MB"]) == (5.0, 50.0)
    assert (found[1]["ltr ms"], found[1]["fastest eager other"], found[1]["times ltr's"]) == (None, "–", None)


def test_a_case_that_fails_says_why(speed):
    import argparse
    import sys
    from pathlib import Path

    import losses

    given = argparse.Namespace(threads=1, seconds=0.01, limit=60.0)
    found = losses.measured(Path(sys.executable), "allrank", "RankNet", "2x3", given)
    assert "allrank" in found["failed"]
    given.limit = 0.01
    assert losses.measured(Path(sys.executable), "ltr", "RankNet", "2x3", given) == {"failed": "no step within 0.01 s"}
