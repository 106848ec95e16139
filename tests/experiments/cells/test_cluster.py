"""Cells on a Ray cluster give the figures that worker processes give."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ltr.errors import ConfigError, MissingExtra
from ltr.experiments.cells.cluster import RayCluster
from tests.experiments.specs import content, write

ROOT = Path(__file__).parents[2]


def test_ray_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"ray is needed to run cells on a cluster.*pip install 'ltr\[ray\]'"):
        RayCluster("local")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:port", "ray://127.0.0.1:1"])
def test_an_address_without_a_cluster_is_told(address):
    with pytest.raises(ConfigError, match=f"--ray {address}: no Ray cluster answers there"):
        RayCluster(address)


@pytest.mark.slow
def test_a_local_cluster_gives_the_table_of_local_processes(tiny_folder, tiny_model, tmp_path):
    values = content(tiny_folder, tiny_model, tmp_path / "here")
    values["losses"]["Broken"] = "Matching(Sigmoid(), Dual())"
    path = write(tmp_path / "spec.yaml", values)
    tables = {}
    for name, how in (("here", ["--workers", "2"]), ("ray", ["--ray", "local"])):
        command = [sys.executable, "-m", "ltr", "benchmark", str(path), "--folder", str(tmp_path / name), *how]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
        assert done.returncode == 1, done.stderr  # as a cell failed, and all others are measured
        assert "2 of its cells failed" in done.stdout, done.stdout
        assert "FAILED: Matching" in done.stdout
        found = json.loads((tmp_path / name / "results.json").read_text())
        tables[name] = {key: found[key] for key in ("summaries", "contrasts", "chosen", "failures", "conventions")}
    assert tables["ray"] == tables["here"]
