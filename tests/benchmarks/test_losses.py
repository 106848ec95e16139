"""The script that measures losses: what it runs, how it compares, and what it says of what is missing."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest

from tests.benchmarks.conftest import run_here


def test_measures_ltr_and_dense_torch_and_keeps_both(measured_here, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    import losses

    # the first in a process of its own, the others in this one
    ran, alone = [], subprocess.run

    def run(command, **options):
        ran.append(command)
        return (run_here if len(ran) > 1 else alone)(command, **options)

    # the name in this script only: what else calls subprocess.run, as platform does, is no step of a loss
    monkeypatch.setattr(losses, "subprocess", SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired))
    picture = tmp_path / "growth.png"
    arguments = ["--quick", "--losses", "RankNet", "ApproxNDCG", "MarginMSE", "--plot", str(picture)]
    result, printed = measured_here(losses, *arguments)
    assert len(ran) == 5 + 2 * 4
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sizes", "64"], "argument --sizes: must be LISTSxDOCS such as 64x1000, got '64'"),
        (["--sizes", "64x10", "0x10"], "argument --sizes: must be LISTSxDOCS such as 64x1000, got '0x10'"),
        (
            ["--losses", "MarginMSE", "--plot", "growth.png"],
            "--plot draws RankNet, LambdaRank, ApproxNDCG; --losses names none of them",
        ),
    ],
)
def test_what_cannot_be_measured_or_drawn_is_said_before_anything_runs(speed, monkeypatch, capsys, arguments, said):
    import losses

    monkeypatch.setattr("sys.argv", ["losses.py", *arguments])
    monkeypatch.setattr(losses, "run", None)
    with pytest.raises(SystemExit):
        losses.main()
    assert said in capsys.readouterr().err


def test_a_picture_that_cannot_be_drawn_loses_no_numbers(speed, monkeypatch, tmp_path):
    import losses

    def broken(cases, path):
        raise OSError("no space left")

    kept = tmp_path / "kept.json"
    case = {"library": "ltr", "loss": "RankNet", "size": "2x5", "ms": 1.0, "peak_mb": 0.0}
    monkeypatch.setattr(losses, "run", lambda *given: [dict(case)])
    monkeypatch.setattr(losses, "plot", broken)
    monkeypatch.setattr("sys.argv", ["losses.py", "--quick", "--plot", "growth.png", "--output", str(kept)])
    with pytest.raises(OSError, match="no space left"):
        losses.main()
    assert len(json.loads(kept.read_text())["growth"]) == 1


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
