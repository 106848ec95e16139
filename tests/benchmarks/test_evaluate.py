"""The benchmark of measuring runs on a small run: every way that is there gives ltr's means."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "speed" / "evaluate.py"


def test_prints_a_table_and_keeps_figures(tmp_path):
    output = tmp_path / "evaluate.json"
    environment = {**os.environ, "LTR_RIVALS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--quick", "--output", str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    assert "ir_measures is left out: python benchmarks/speed/common/rivals.py installs it" in done.stderr
    assert "| ltr evaluate: table with intervals | cold" in done.stdout
    kept = json.loads(output.read_text())
    assert kept["what"].startswith("read and measure 50 queries x 100 documents")
    assert {"python", "numpy", "ltr", "pytrec-eval-terrier"} <= set(kept["versions"])
    ways = {(row["way"], row["caches"]): row for row in kept["rows"]}
    ours = ways["ltr: read and measure", "warm"]
    assert set(ours["means"]) == {"ndcg@10", "mrr@10", "map", "recall@1000", "rbp.95"}
    for row in ways.values():
        for name in set(row["means"]) & set(ours["means"]):
            assert abs(row["means"][name] - ours["means"][name]) < 1e-6, (row["way"], name)
        assert row["seconds"] >= row["import"] + row["read"] + row["measure"]


def test_a_measure_that_means_something_else_is_not_compared(speed):
    import evaluate

    figures = {"caches": "warm", "import": 0, "read": 1, "measure": 1, "seconds": 2, "processor": 2, "peak": 1}
    rows = [{"way": way, "means": means, **figures} for way, means in (
        (evaluate.TITLES["ltr"], {"map": 0.5, "rbp.95": 0.5}),
        (evaluate.TITLES["ranx"], {"map": 0.5, "rbp.95": 0.9}),
        (evaluate.TITLES["ltr_table"], {"map": 0.5, "rbp.95": 0.75}),
    )]  # fmt: skip
    off = [line.split("|")[-2].strip() for line in evaluate.shown(rows).splitlines()[-3:]]
    assert [float(value) for value in off] == [0, 0, 0.2]
    del sys.modules["evaluate"]
