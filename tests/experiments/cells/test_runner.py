"""Benchmarks run to their end, go on where they stopped, and report what failed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ltr.errors import ConfigError, DataError
from ltr.experiments.cells import cell as cells
from ltr.experiments.cells.cell import Outcome
from ltr.experiments.cells.runner import loaded, run
from ltr.experiments.cells.store import Store
from ltr.experiments.cells.workers import Processes
from ltr.experiments.spec.plan import groups
from tests.experiments.here import Here
from tests.experiments.specs import write

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
]


def figures(found):
    """Everything that must not depend on how often a benchmark was stopped."""
    return {
        (g.title, name): (cell.record["params"], cell.record["value"], None if name < 0 else cell.scores.tolist())
        for g in found
        for name, cell in [*((-1 - i, c) for i, c in g.trials.items()), *g.seeds.items()]
    }


def test_a_stopped_benchmark_goes_on_with_the_same_figures(read, values, tmp_path):
    said = []
    whole = run(read(), Here(), said.append)
    assert said[0] == "8 cells; 1 at a time"
    assert "[8/8]" in said[-1]
    assert len(figures(whole)) == 8

    values["folder"] = str(tmp_path / "stopped")
    first = Here(stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        run(read(), first, said.append)
    second = Here()
    again = run(read(), second, said.append)
    assert len(second.ran) == 5
    assert not set(first.ran) & set(second.ran)
    assert figures(again) == figures(whole)
    third = Here()
    assert figures(run(read(), third, said.append)) == figures(whole)
    assert third.ran == []


def test_trials_choose_on_dev_and_seeds_use_what_they_chose(read):
    found = run(read(), Here(), lambda _: None)
    for group in found:
        values = [group.trials[i].value for i in range(2)]
        winner = group.trials[int(np.argmax(values))].record
        assert group.chosen == winner["params"]
        for seed in group.seeds.values():
            assert seed.record["params"] == winner["params"]
            assert seed.record["seconds"] > 0
            assert 0 <= seed.record["memory_mb"] < 2000
            assert len(seed.course) == 2
        assert not (group.trials[0].folder / "scores.npy").exists(), "a trial never sees the test part"
    selective = next(g for g in found if g.loss_name == "Selective")
    assert selective.seeds[0].record["loss"].startswith("CompositeSoftmax(transform=Identity() + Softplus(center=")


@pytest.fixture(scope="module")
def workers():
    """Processes take longer to begin than tiny cells: they are begun once."""
    executor = Processes(2, 1)
    yield executor
    executor.close()


def test_processes_give_the_figures_of_one_process(read, values, tmp_path, workers, monkeypatch):
    values["losses"].pop("Selective")
    values["tuning"]["trials"] = 1
    here = run(read(), Here(), lambda _: None)
    values["folder"] = str(tmp_path / "processes")
    monkeypatch.setattr(workers, "close", lambda: None)
    beside = run(read(), workers, lambda _: None)
    for key, (params, value, scores) in figures(here).items():
        other = figures(beside)[key]
        assert (other[0], other[1]) == (params, pytest.approx(value))
        if scores is not None:
            np.testing.assert_allclose(other[2], scores, rtol=1e-4, atol=1e-5)  # this process may have more threads


def test_a_failed_cell_is_reported_and_stops_nothing(read, values):
    values["losses"]["Broken"] = "Matching(Sigmoid(), Dual())"  # grade 2 is no label of a sigmoid
    values["tuning"]["trials"] = 1
    said = []
    found = run(read(), Here(), said.append)
    broken = next(g for g in found if g.loss_name == "Broken")
    assert [c.finished for c in broken.cells] == [False, False]
    reason = broken.seeds[0].record["reason"]
    assert "Matching" in reason
    assert any(f"FAILED: {reason.splitlines()[0]}" in line for line in said)
    assert (broken.seeds[0].folder / "error.txt").read_text().startswith("Traceback")
    assert all(c.finished for g in found if g is not broken for c in g.cells)
    again = Here()
    run(read(), again, said.append)
    assert again.ran == [f"toy · tiny · Broken · seed {s}" for s in (0, 1)], "the next start tries failed cells again"


def test_no_seed_runs_where_all_trials_failed(read, values):
    values["losses"] = {"ListNet": "ListNet()", "Broken": "Matching(Sigmoid(), Dual())"}
    executor = Here()
    found = run(read(), executor, lambda _: None)
    broken = next(g for g in found if g.loss_name == "Broken")
    assert broken.hopeless
    assert not broken.seeds
    assert not any("Broken" in title and "seed" in title for title in executor.ran)


def test_other_settings_in_the_same_folder_are_refused(read, values):
    values["tuning"]["trials"] = 1
    run(read(), Here(), lambda _: None)
    values["trainer"]["max_epochs"] = 1
    with pytest.raises(ConfigError, match=r"other settings \(trainer: max_epochs was 2, is 1\); choose another folder"):
        run(read(), Here(), lambda _: None)


def test_a_test_part_that_depends_on_the_seed_is_refused(read, values, monkeypatch):
    values["tuning"]["trials"] = 1
    values["losses"].pop("Selective")
    real = cells.run_task

    def other_part(task):
        outcome = real(task)
        if task.seed == 1:
            outcome.truth.gains[0] += 1
        return outcome

    class Changed(Here):
        def next(self):
            return self.task, other_part(self.task)

    found = run(read(), Changed(), lambda _: None)
    assert found[0].seeds[0].finished
    assert "is not that of the cells before" in found[0].seeds[1].record["reason"]


def test_a_manifest_that_cannot_be_read_is_told(read, values):
    values["tuning"]["trials"] = 1
    found = run(read(), Here(), lambda _: None)
    manifest = found[0].seeds[0].folder / "manifest.json"
    manifest.write_text("{")
    with pytest.raises(DataError, match="not the manifest of a cell"):
        loaded(read())


def test_a_cell_may_load_its_data_in_processes_of_its_own(read, values, workers):
    values["data"]["toy"]["init_args"]["workers"] = 1
    trial = next(iter(groups(read())[0].ready()))
    workers.submit(replace(trial, trainer={**trial.trainer, "max_epochs": 1}))
    record = workers.next()[1].record
    assert record["status"] == "finished", record


def test_a_worker_that_dies_takes_only_its_cell_with_it(read, values, workers):
    values["tuning"]["trials"] = 1
    tasks = [task for group in groups(read()) for task in group.ready()]
    workers.submit(tasks[0])
    worker = next(iter(workers._busy.values()))
    os.kill(worker.process.pid, signal.SIGKILL)
    task, outcome = workers.next()
    assert task == tasks[0]
    assert outcome.record["status"] == "failed"
    assert "signal SIGKILL; the system may have run out of memory: use fewer --workers" in outcome.record["reason"]
    workers.submit(tasks[1])
    assert workers.next()[1].finished


def test_a_cell_is_complete_or_absent(read, values, monkeypatch):
    task = next(iter(groups(read())[0].ready()))
    store = Store(values["folder"])
    monkeypatch.setattr(Path, "write_text", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        store.keep(task, Outcome({"status": "finished", "value": 1.0}, {"course.json": b"[]"}))
    monkeypatch.undo()
    assert store.find(task) is None
    assert [p.name for p in store.path(task).parent.iterdir()] == []


@pytest.mark.slow
def test_killed_in_the_middle_and_started_again(read, values, tmp_path):
    whole = figures(run(read(), Processes(2, 1), lambda _: None))
    values["folder"] = str(tmp_path / "killed")
    path = write(tmp_path / "spec.yaml", values)
    command = [sys.executable, "-m", "ltr", "benchmark", str(path), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while "[3/8]" not in process.stdout.readline():
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stdout.close()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "killed").rglob("manifest.json")}
    assert 3 <= len(before) < 8
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert all(p.stat().st_mtime_ns == t for p, t in before.items()), "a finished cell is never repeated"
    assert figures(loaded(read())[0]) == whole
    manifest = json.loads(next(iter(before)).read_text())
    assert manifest["versions"]["torch"]


def test_texts_with_a_scorer_of_numbers_are_told_which_of_both_is_wrong():
    data = {"class_path": "ltr.data.TextData", "init_args": {"train": "pydocs/train"}}
    scorer = {"class_path": "ltr.scorers.LinearScorer"}
    task = cells.Task(
        "pydocs", "linear", "ListNet", "seed-0", data, 0, "ndcg@10", True, ["ndcg@10"], scorer, loss="ListNet()"
    )
    with pytest.raises(
        ConfigError, match=r"TextData are texts, which ltr.scorers.LinearScorer does not read: it names no"
    ):
        cells.parts_of(task)
