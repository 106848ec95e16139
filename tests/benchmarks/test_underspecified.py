"""The demonstration of underspecified regression, small; and what is told about it is what was measured."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "underspecified"


@pytest.fixture(scope="module")
def script():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("underspecified", ROOT / "benchmarks/quality/underspecified.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "underspecified", module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module


def test_runs_small_and_shows_the_trade(script, tmp_path):
    picture, output = tmp_path / "picture.png", tmp_path / "results" / "results.json"
    sizes = ["--seeds=2", "--documents=80", "--steps=40", "--noise=0.2"]
    script.main([*sizes, f"--picture={picture}", f"--output={output}"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(output.read_text())
    assert found["seeds"] == 2
    rows = {(row["model"], row["loss"]): row for row in found["noise"]["0.2"]}
    assert len(rows) == len(script.MODELS) * len(script.ENTRIES)
    for name in script.SHOWN:
        row = rows["one unit", name]
        for where, sign in (("inside", -1), ("outside", 1)):
            assert sign * row[where]["minus_squared_error"]["mean"] > 0.05
    # a model that is large enough has nothing to trade
    assert rows["two units", "squared error"]["rmse"]["all"]["mean"] < 0.1
    assert rows["two units", "sigmoid, top"]["inside"]["minus_squared_error"]["mean"] > -0.03


def test_the_optimum_is_reached(script):
    x, y = script.sample(4, 50, 0.5)
    plain = next(e for e in script.ENTRIES if e.name == "squared error")
    found = script.fit(plain, "line", x, y)
    for numbers, features, labels in zip(found, x, y, strict=True):
        matrix = torch.stack([torch.ones_like(features), features], 1)
        wanted = torch.linalg.lstsq(matrix, labels[:, None]).solution[:, 0]
        torch.testing.assert_close(numbers, wanted, rtol=1e-4, atol=1e-4)


def test_regions_are_shares_of_the_documents(script):
    shares = {name: float(inside.double().mean()) for name, inside in script.REGIONS.items()}
    assert shares == pytest.approx(dict.fromkeys(script.REGIONS, 0.2), abs=2e-3)


def test_the_readme_shows_the_results_that_are_kept(script):
    kept = json.loads((RESULTS / "results.json").read_text())
    text = (RESULTS / "README.md").read_text()
    assert set(kept["noise"]) == {"0.3", "1"}
    for noise, rows in kept["noise"].items():
        assert f"Noise {noise}:\n\n{script.table(rows)}\n" in text
