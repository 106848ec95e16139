"""How much memory a cell needs, and no more than that."""

import builtins
import sys

import numpy as np
import pytest

from ltr.experiments import memory
from ltr.experiments.memory import Meter

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process forget its peak")


@linux
def test_the_peak_counts_what_was_held_meanwhile():
    meter = Meter()
    block = np.ones(2**23)  # 64 MB
    assert block.sum() == 2**23
    del block
    assert 60 < meter.peak["memory_mb"] < 90


@linux
def test_what_came_before_is_not_counted():
    block = np.ones(2**24)
    del block
    kept = np.ones(2**23)
    assert Meter().peak["memory_mb"] < 30
    assert kept[0] == 1


def test_without_the_systems_figures_the_process_counts(monkeypatch):
    def refused(path, *rest, **settings):
        if str(path).startswith("/proc/"):
            raise PermissionError(path)
        return real(path, *rest, **settings)

    real = builtins.open
    monkeypatch.setattr(builtins, "open", refused)
    assert memory._held("VmHWM") == 0
    peak = Meter().peak["memory_mb"]
    monkeypatch.undo()
    assert 50 < peak < 50_000
