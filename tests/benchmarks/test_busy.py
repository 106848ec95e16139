"""The script that measures beside busy processes works, and leaves none behind."""

import os
import subprocess
import sys
import time

import pytest


def test_ratios_are_of_the_least_seconds(speed):
    import busy

    found = {"train": {busy.WORKERS: [3.0, 2.0], busy.ONE: [3.0, 4.0], busy.SHARED: [9.0, 5.0]}}
    assert busy.rows(found, 4) == [
        {
            "beside": "4 busy", "work": "train", "workers s": 2.0, "one thread s": 3.0, "torch's threads s": 5.0,
            "torch's threads / workers": 2.5, "one thread / workers": 1.5,
        }
    ]  # fmt: skip
    assert busy.rows(found, 0)[0]["beside"] == "alone"


@pytest.mark.slow  # three processes import torch and Lightning
def test_it_measures_every_way_alone_and_beside_others(measured, tiny_ranker):
    found, printed = measured("busy", "--quick", "--threads", "2", "--model", str(tiny_ranker))
    assert [(row["beside"], row["work"]) for row in found["rows"]] == [
        (beside, work) for beside in ("alone", "2 busy") for work in ("train", "RankNet")
    ]
    for row in found["rows"]:
        assert all(row[f"{way} s"] > 0 for way in ("workers", "one thread", "torch's threads"))
        assert row["one thread / workers"] > 0
    assert "torch's threads / workers" in printed


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_neighbours_are_killed_whatever_happens(speed):
    from common.neighbours import Neighbours

    def fail(beside):
        started.extend(one.pid for one in beside.running)
        assert all(map(alive, started))
        raise ValueError("in between")

    started: list[int] = []
    with pytest.raises(ValueError, match="in between"), Neighbours(2) as beside:
        fail(beside)
    assert len(started) == 2
    assert not any(map(alive, started))


def test_neighbours_end_with_who_started_them(speed):
    code = (
        "import os\nfrom common.neighbours import Neighbours\n"
        "print(Neighbours(1).__enter__().running[0].pid, flush=True)\nos._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=speed, capture_output=True, text=True, check=False)
    number = int(done.stdout)
    end = time.monotonic() + 60
    while alive(number) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(number)
