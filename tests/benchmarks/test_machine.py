"""The script that measures what the machine can do at most."""

from __future__ import annotations


def test_measures_every_precision(measured):
    result, printed = measured("machine", "--quick", "--threads=1")
    assert {"fp32", "bf16"} <= set(result["peaks"]) <= {"fp32", "bf16", "int8"}
    assert all(value > 0 for value in result["peaks"].values())
    shapes = [row["product"] for row in result["products"] if row["precision"] == "fp32"]
    assert shapes[0] == "square 2048"
    assert len(shapes) == 6
    assert result["copy_gigabytes_per_second"] > 0
    assert result["fresh_page_nanoseconds"] >= 0
    assert "copying: " in printed


def test_the_peak_is_the_best_square_product(speed):
    import machine

    best, median = machine.product("fp32", (64, 64, 64), 0.01)
    assert best >= median > 0
    assert machine.peak("fp32", 0.01, size=64) > 0
