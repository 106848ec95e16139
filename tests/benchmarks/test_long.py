"""The benchmark of long documents runs on tiny input, and what it counts grows as documents do."""

import importlib

import pytest

from tests.tiny_model import save_tiny


@pytest.fixture
def long(speed):
    return importlib.import_module("long")


def test_runs_small_and_counts_what_is_computed(long, measured_here, tmp_path):
    save_tiny(tmp_path / "tiny")
    arguments = ["--model", str(tmp_path / "tiny"), "--max-length", "48", "--lengths", "1", "3", "9", "--docs", "2"]
    found, printed = measured_here(long, *arguments, "--repeats", "1", "--precision", "32")
    assert "| mode " in printed
    assert found["precision"] == "float32"
    assert {"torch", "transformers"} <= set(found["versions"])
    rows = {(row["mode"], row["windows"]): row for row in found["rows"]}
    assert len(rows) == 5 * 3
    for (mode, windows), row in rows.items():
        # 40 tokens of a document fit beside 5 of the query and 3 special ones; passages start 30 apart
        expected = 1 + -(-(windows - 1) * 40 // {"max": 30, "mean": 30, "max of 4 passages": 30}.get(mode, 40))
        expected = {"first": 1, "max of 4 passages": min(expected, 4)}.get(mode, expected)
        assert row["passages"] == expected
        assert row["computed / own tokens"] == pytest.approx(48 * expected / (40 * windows))
        assert row["docs/s"] > 0


def test_quick(long, measured_here, tmp_path):
    save_tiny(tmp_path / "tiny")
    found, _ = measured_here(long, "--quick", "--model", str(tmp_path / "tiny"), "--max-length", "40")
    assert {row["windows"] for row in found["rows"]} == {1, 2}
