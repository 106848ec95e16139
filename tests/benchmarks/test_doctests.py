"""Examples in the docstrings of what the scripts share."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["drift", "report", "rivals", "texts"])
def test_examples_hold(speed, name):
    found = doctest.testmod(
        importlib.import_module(f"common.{name}"), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert found.attempted
    assert not found.failed
