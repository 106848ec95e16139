"""The plan before a benchmark: what would run, and how long."""

import time

import pytest

from ltr.experiments.cells import estimate
from ltr.experiments.cells.cell import run_task
from ltr.experiments.cells.estimate import plan_text, timed
from ltr.experiments.cells.runner import run
from ltr.experiments.spec.plan import groups
from tests.experiments.pretend import Pretend, judged


@pytest.fixture
def steps(monkeypatch):
    """Timed steps say 30 s a cell; the list tells which cells were timed."""
    asked = []
    monkeypatch.setattr(estimate, "timed", lambda task: asked.append(task) or 30.0)
    return asked


def rows(text):
    """loss -> the words of its row behind the loss."""
    found = [line.split() for line in text.splitlines() if line.startswith("toy ")]
    return {words[2]: words[3:] for words in found}


def test_a_plan_counts_and_times_one_cell_of_each_kin(read, steps):
    text = plan_text(read(), workers=1)
    assert "8 cells, 0 of them finished; monitor dev/mrr@10" in text
    assert rows(text) == {
        "ListNet": ["2", "2", "0", "2", "min", "3", "timed", "steps"],
        "Selective": ["2", "2", "0", "2", "min", "3", "timed", "steps"],
    }
    assert "about 4 min with 1 cells at a time" in text
    assert len(steps) == 1, "losses of one scorer and data set cost alike"
    assert steps[0].test, "a cell that also scores the test part"
    assert "about 60 s with 4 cells at a time" in plan_text(read(), workers=4)
    assert "about 30 s with 99 cells at a time" in plan_text(read(), workers=99)


def test_trials_that_choose_nothing_are_no_cells(read, values, steps):
    values["tuning"]["trials"] = 1
    assert "4 cells, 0 of them finished" in plan_text(read(), 1)
    values["tuning"] = {"trials": 3}
    assert rows(plan_text(read(), 1))["ListNet"][:3] == ["0", "2", "0"], "nothing to tune: the defaults"
    assert rows(plan_text(read(), 1))["Selective"][:3] == ["3", "2", "0"]


def test_finished_cells_tell_the_time(read, steps):
    with pytest.raises(KeyboardInterrupt):
        run(read(), Pretend({"toy": judged()}, stop_after=1), lambda _: None)
    text = plan_text(read(), 1)
    assert steps == []
    assert "8 cells, 1 of them finished" in text
    assert rows(text)["ListNet"] == ["2", "2", "1", "60", "s", "its", "cells"], "3 cells of 20 s"
    assert rows(text)["Selective"] == ["2", "2", "0", "80", "s", "its", "kin"]


def test_a_whole_benchmark_takes_no_time(read, steps):
    run(read(), Pretend({"toy": judged()}), lambda _: None)
    text = plan_text(read(), 2)
    assert "8 cells, 8 of them finished" in text
    assert "about 0 s with 2 cells at a time" in text
    assert rows(text)["ListNet"] == ["2", "2", "4", "finished"]
    assert steps == []


def test_rankers_from_outside_are_not_timed(read, values, steps):
    values["rankers"] = {"Trees": {"class_path": "ltr.integrations.lightgbm.LambdaMART"}}
    text = plan_text(read(), 1)
    assert rows(text)["Trees"] == ["0", "2", "0", "0", "s", "not", "known", "before", "the", "first"]


def test_timed_steps_are_of_the_order_of_a_cell(read, values):
    values["trainer"]["max_epochs"] = 40  # what a cell does once hardly counts then, however busy the machine is
    task = groups(read())[0].example()
    run_task(task)  # imports and caches
    said = timed(task)
    start = time.perf_counter()
    assert run_task(task).finished
    real = time.perf_counter() - start
    assert real / 8 < said < real * 8
