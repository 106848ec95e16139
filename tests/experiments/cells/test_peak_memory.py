"""How much memory a cell needs, and no more than that."""

import builtins
import subprocess
import sys

import numpy as np
import pytest

from ltr.experiments.cells import peak_memory
from ltr.experiments.cells.peak_memory import PeakMemory

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process forget its peak")


@linux
def test_the_peak_counts_what_was_held_meanwhile():
    meter = PeakMemory()
    block = np.ones(2**23)  # 64 MB
    assert block.sum() == 2**23
    del block
    assert 60 < meter.peak["memory_mb"] < 90


@linux
def test_what_came_before_is_not_counted():
    block = np.ones(2**24)
    del block
    kept = np.ones(2**23)
    assert PeakMemory().peak["memory_mb"] < 30
    assert kept[0] == 1


def test_without_the_systems_figures_the_process_counts(monkeypatch):
    def refused(path, *rest, **settings):
        if str(path).startswith("/proc/"):
            raise PermissionError(path)
        return real(path, *rest, **settings)

    real = builtins.open
    monkeypatch.setattr(builtins, "open", refused)
    assert peak_memory._held("VmHWM") == 0
    peak = PeakMemory().peak["memory_mb"]
    monkeypatch.undo()
    assert 50 < peak < 50_000


#: a cell that fails as soon as its parts are built, so that little but what it imports costs memory
FIRST = """
import logging, sys
from ltr.experiments.cells.cell import Task, run_task
task = Task("d", "s", "l", "seed-0", {"class_path": "ltr.data.Nothing"}, 0, "mrr@10", True, [], {}, "ListNet()")
record = run_task(task).record
assert "Nothing" in record["reason"], record
assert record["memory_mb"] < 150 or not LINUX, record
streams = [h.stream for name in ("pytorch_lightning", "lightning_fabric") for h in logging.getLogger(name).handlers]
assert streams and all(stream is sys.stderr for stream in streams), streams
"""


@pytest.mark.slow  # imports everything in a process of its own
def test_a_first_cell_neither_pays_for_lightning_nor_takes_its_log():
    code = f"LINUX = {sys.platform == 'linux'}{FIRST}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
