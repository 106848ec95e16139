"""The benchmark of long documents runs on tiny input, and what it counts grows as documents do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_model import save_tiny

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "speed" / "long.py"


def test_runs_small_and_counts_what_is_computed(tmp_path):
    save_tiny(tmp_path / "tiny")
    output = tmp_path / "long.json"
    arguments = ["--model", str(tmp_path / "tiny"), "--max-length", "48", "--lengths", "1", "3", "9", "--docs", "2"]
    command = [sys.executable, str(SCRIPT), *arguments, "--repeats", "1", "--precision", "32", "--output", str(output)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "| mode " in done.stdout
    found = json.loads(output.read_text())
    assert found["precision"] == "float32"
    assert {"torch", "transformers"} <= set(found["versions"])
    rows = {(row["mode"], row["windows"]): row for row in found["rows"]}
    assert len(rows) == 5 * 3
    for (mode, windows), row in rows.items():
        # 40 tokens of a document fit beside 5 of the query and 3 special ones; passages start 30 apart
        expected = 1 + -(-(windows - 1) * 40 // {"max": 30, "mean": 30, "max of 4 passages": 30}.get(mode, 40))
        expected = {"first": 1, "max of 4 passages": min(expected, 4)}.get(mode, expected)
        assert row["passages"] == expected
        assert row["computed / own tokens"] == pytest.approx(48 * expected / (40 * windows))
        assert row["docs/s"] > 0


def test_quick(tmp_path):
    save_tiny(tmp_path / "tiny")
    output = tmp_path / "long.json"
    arguments = ["--quick", "--model", str(tmp_path / "tiny"), "--max-length", "40", "--output", str(output)]
    subprocess.run([sys.executable, str(SCRIPT), *arguments], check=True, capture_output=True)
    assert {row["windows"] for row in json.loads(output.read_text())["rows"]} == {1, 2}
