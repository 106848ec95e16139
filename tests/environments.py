"""Environments that ``make rivals`` makes, for tests that need packages which do not fit beside ltr's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/speed/common/rivals.py"


def script() -> ModuleType:
    """The script that makes them, anew, as a module."""
    spec = importlib.util.spec_from_file_location("rivals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def interpreter(name: str) -> Path:
    """The Python of an environment; where it has not been made, the test is skipped."""
    found = script().python_of(name)
    if found is None:
        pytest.skip(f"the environment {name} is not there: python benchmarks/speed/common/rivals.py {name}")
    return found
