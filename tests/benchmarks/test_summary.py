"""The page of speed results says what the JSON files hold."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

RERANK = {
    "what": "16 queries x 50 passages",
    "quick": False,
    "peaks": {"fp32": 190.0, "bf16": 440.0},
    "rows": [
        {"way": "sentence-transformers fp32", "docs/s": 58.0, "x ST fp32": 1.0, "tau": None},
        {"way": "ltr bf16", "docs/s": 190.25, "x ST fp32": 3.28, "tau": 0.99},
    ],
    "seconds": {"ltr bf16": [1.0, 2.0]},
    "date": "2026-11-24",
    "command": "python benchmarks/speed/rerank.py --threads 2",
    "versions": {"torch": "2.13.0", "sentence-transformers": "6.2.0"},
    "machine": {"processor": "a processor", "cores": 2},
}
OTHER = {
    "what": "read a file",
    "quick": True,
    "parsed": {"seconds": 1.5, "rate": 2.0},
    "cached": {"seconds": 0.5, "rate": 6.0},
    "equal": "every value",
    "cases": {"small": {"ms": 1.0}, "large": {"ms": 2.0, "peak": 3}},
    "date": "2026-11-23",
    "command": "python benchmarks/speed/letor.py ",
    "machine": "Linux",
}


@pytest.fixture
def script(speed):
    return speed / "common" / "summary.py"


def test_every_result_has_its_table_and_its_origin(script, tmp_path):
    (tmp_path / "rerank.json").write_text(json.dumps(RERANK))
    (tmp_path / "letor.json").write_text(json.dumps(OTHER))
    subprocess.run([sys.executable, str(script), "--results", str(tmp_path)], check=True, capture_output=True)
    page = (tmp_path / "README.md").read_text()
    assert page.index("## rerank") < page.index("## letor")
    assert "16 queries x 50 passages.\n\n| way" in page
    assert "| ltr bf16                   |  190.2 |      3.28 | 0.99 |" in page
    assert "| sentence-transformers fp32 |     58 |         1 |    – |" in page
    assert "- peaks: fp32 190, bf16 440" in page
    assert (
        "`python benchmarks/speed/rerank.py --threads 2`, 2026-11-24; processor a processor, cores 2; torch 2.13.0"
        in page
    )
    assert "[1.0, 2.0]" not in page


def test_other_shapes_of_results_are_told_too(script, tmp_path):
    from common.summary import section

    text = "\n".join(section(OTHER))
    assert "shows that the script works, and no speed" in text
    assert "- parsed: seconds 1.5, rate 2" in text
    assert "- equal: every value" in text
    assert "| small |   1 |    – |" in text
    assert "| large |   2 |    3 |" in text


def test_no_results_are_told(script, tmp_path):
    found = subprocess.run(
        [sys.executable, str(script), "--results", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert found.returncode
    assert f"summary: no results in {tmp_path}; run make bench" in found.stderr
