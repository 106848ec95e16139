"""``ltr --version`` tells what runs here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import types

import pytest

from ltr import __version__
from ltr.cli.main import main
from ltr.cli.reading import about


def test_it_tells_versions_device_threads_cache_and_extras(capsys, cache):
    assert main(["--version"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"ltr {__version__}"
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert list(told) == ["python", *about.PACKAGES, "device", "threads", "cache", "extras"]
    assert told["python"].startswith(platform.python_version())
    assert told["torch"] == importlib.metadata.version("torch")
    assert told["cache"] == f"{cache} (LTR_CACHE)"


def torch_with(**settings) -> types.ModuleType:
    """A torch that sees certain GPUs."""
    torch = types.ModuleType("torch")
    names = settings.pop("names", [])
    torch.cuda = types.SimpleNamespace(
        is_available=lambda: bool(names), device_count=lambda: len(names), get_device_name=names.__getitem__
    )
    torch.version = types.SimpleNamespace(**settings)
    return torch


@pytest.mark.parametrize(
    ("torch", "told"),
    [
        (torch_with(cuda=None), "cpu (this build of torch knows no GPU)"),
        (torch_with(cuda="13.0"), "cpu (no GPU was found)"),
        (torch_with(cuda="13.0", names=["H200", "H200"]), "cuda (H200, H200; CUDA 13.0)"),
    ],
)
def test_the_device_is_what_torch_sees(torch, told, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert about.device() == told


def test_a_torch_that_does_not_load_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert about.device().startswith("none: torch does not load (import of torch halted")


def test_threads_by_affinity_quota_and_environment(monkeypatch):
    def threads(given, share):
        monkeypatch.setattr(about, "affinity", lambda: given)
        monkeypatch.setattr(about, "quota", lambda: share)
        monkeypatch.setattr(about, "cores", lambda: min(given, int(share or given)))
        return about.threads()

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(about, "at_work", lambda: ", at work 2")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads(3, None) == "3 of 8 cores (affinity), OMP_NUM_THREADS 2, at work 2"
    assert threads(3, 2.0) == "2 of 8 cores (affinity, a quota of 2), OMP_NUM_THREADS 2, at work 2"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads(8, 2.0) == "2 of 8 cores (a quota of 2), OMP_NUM_THREADS not set, at work 2"
    assert threads(8, 9.0) == "8 cores, OMP_NUM_THREADS not set, at work 2"


def test_how_many_compute_at_once_is_what_scoring_and_training_ask(monkeypatch):
    monkeypatch.setattr("ltr.machine.threads.workers", lambda: 5)
    assert about.at_work() == ", at work 5"
    monkeypatch.setitem(sys.modules, "ltr.machine.threads", None)
    assert about.at_work() == ""


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "file"))
    assert about.cache().startswith(f"cannot write {tmp_path / 'file'}")


def test_extras_by_what_is_installed(monkeypatch):
    needs = [
        "numpy>=1.26",
        'numpy>=1; extra == "plot"',
        'no-such-package>=1; extra == "ray"',
        'numpy>=1; extra == "ray"',
        "nothing-here[all]>=1; extra == 'gbdt'",
        'no-such-package>=1; extra == "dev"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needs)
    assert about.extras() == "plot; ray (no-such-package missing); gbdt (nothing-here missing)"
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy>=1.26"])
    assert about.extras() == "none"


def test_a_checkout_that_was_not_installed_has_no_extras_to_tell(monkeypatch):
    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", gone)
    assert about.extras() == "unknown: ltr was not installed by pip"
    monkeypatch.setattr(importlib.metadata, "version", gone)
    assert about.version_of("torch") is None
