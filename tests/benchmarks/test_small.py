"""Speed scripts without a test of their own run small, from the command line to the figures they keep."""

from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("script", ["publish", "letor", "bulk"])
def test_runs_small_and_keeps_figures(measured, script):
    found, printed = measured(script, "--quick")
    assert found["rows"]
    assert all(isinstance(value, (int, float, str)) or value is None for row in found["rows"] for value in row.values())
    assert "| " in printed


@pytest.mark.slow
def test_memory_of_many_rows_is_kept_by_tenths(measured):
    found, printed = measured("bulk", "--memory", "120000")
    assert [row["tenth of the rows"] for row in found["rows"]] == list(range(1, 11))
    assert all(50 < row["MB held at most"] < 2000 for row in found["rows"])
    assert "120,000 rows" in printed


def test_every_speed_script_is_tested(speed):
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    names = [path.stem for path in speed.glob("*.py")]
    assert names
    assert [name for name in names if f'"{name}"' not in tests and f"import {name}\n" not in tests] == []
