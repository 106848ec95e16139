"""The benchmark of large collections runs in small, and its lines lead to the size of MS MARCO."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.benchmarks.test_loading import SPEED, python
from tests.tiny_model import save_tokenizer


@pytest.mark.slow  # eight processes, each of which imports torch
def test_runs_small(speed, tmp_path):
    result = tmp_path / "vectors.json"
    save_tokenizer(tmp_path / "words")
    from loading import tiny_model

    model = tiny_model(str(tmp_path / "words"), tmp_path / "model", head=False)  # reads 512 tokens
    done = python(str(SPEED / "vectors.py"), "--quick", "--model", model, "--output", str(result))
    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text())
    assert found["quick"] is True
    assert [row["passages"] for row in found["sizes"]] == [100, 400, 1600]
    # float32 vectors of 384 numbers, and ids and a manifest beside them
    assert all(0 < row["disk_mb"] - row["passages"] * 384 * 4 / 1e6 < 0.1 for row in found["sizes"])
    assert all(row["search_cpu_s"] > 0 and row["peak_own_mb"] > 50 for row in found["sizes"])
    assert found["network"][0]["precision"] == "32"
    assert "8,841,823 (line)" in done.stdout


def test_a_line_is_followed_and_what_lies_off_it_is_told(speed):
    from common.growth import extrapolated, lines_of

    rows = [{"passages": n, "disk": 3 + 2.0 * n, "bent": float(n if n < 4 else 8)} for n in (1, 2, 4)]
    whole, off = extrapolated(rows, 100)
    assert whole["disk"] == pytest.approx(203)
    assert off["disk"] == pytest.approx(0, abs=1e-9)
    assert off["bent"] == pytest.approx(100)
    assert [line[""] for line in lines_of(rows, whole, off)] == ["disk", "bent"]
    assert np.isfinite(whole["bent"])
