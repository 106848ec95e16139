"""What a review of the engine broke: two starts at once, workers that end between cells, a parent that is killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from ltr.errors import ConfigError, DataError
from ltr.experiments.cells.cell import run_task
from ltr.experiments.cells.runner import locked
from ltr.experiments.cells.store import Done
from ltr.experiments.cells.workers import Processes
from ltr.experiments.spec.plan import groups
from ltr.experiments.spec.reading import read_spec
from tests.experiments.specs import content, write

PARENT = """
import time
from ltr.experiments.cells import workers
from ltr.experiments.cells.workers import Processes, _Worker
if __name__ == "__main__":
    pool = Processes(1)
    print(_Worker(pool._context, 1).process.pid, flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_run_at_a_time(tmp_path):
    with (
        locked(str(tmp_path)),
        pytest.raises(ConfigError, match=r"another ltr benchmark is running in .*; wait for it, or choose another"),
        locked(str(tmp_path)),
    ):
        pass
    with locked(str(tmp_path)):
        pass


def test_a_worker_that_ended_between_cells_is_passed_over():
    class Dead:
        def is_alive(self):
            return False

    class Gone:
        process = Dead()

    class Made:
        pipe = "pipe"

        def give(self, task):
            self.task = task

    pool = Processes(1)
    pool._idle.append(Gone())
    made = Made()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ltr.experiments.cells.workers._Worker", lambda *_: made)
        pool.submit("task")
    assert made.task == "task"
    assert pool._busy == {"pipe": made}
    assert pool._idle == []


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(300):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


@pytest.fixture
def values(tiny_folder, tiny_model, tmp_path):
    return content(tiny_folder, tiny_model, tmp_path / "runs")


def test_an_unknown_paired_test_is_refused_before_anything_runs(tmp_path, values):
    values["tests"] = ["fishr"]
    with pytest.raises(ConfigError, match=r"spec.yaml:\d+: no paired test 'fishr'; did you mean 'fisher'"):
        read_spec(write(tmp_path / "spec.yaml", values))


def test_a_search_that_is_no_mapping_is_refused_with_its_line(tmp_path, values):
    values["tuning"]["search"] = ["lr"]
    with pytest.raises(ConfigError, match=r"spec.yaml:\d+: search is a mapping from names to ranges, got \['lr'\]"):
        read_spec(write(tmp_path / "spec.yaml", values))


def test_a_cell_gives_the_same_figures_first_and_after_others_in_one_process(tmp_path, values):
    spec = read_spec(write(tmp_path / "spec.yaml", values))
    one, other = (next(group.ready()) for group in groups(spec))
    tested = [replace(task, test=True) for task in (one, other, one)]
    first, _, again = [run_task(task) for task in tested]
    assert first.finished, first.record
    assert first.files["scores.npy"] == again.files["scores.npy"]
    assert first.files["course.json"] == again.files["course.json"]


@pytest.mark.parametrize("held", [None, b"", b"\x93NUMPY\x01\x00"])
def test_scores_that_are_gone_or_damaged_are_named(tmp_path, held):
    if held is not None:
        (tmp_path / "scores.npy").write_bytes(held)
    with pytest.raises(DataError, match=r"scores.npy: no scores of a cell: .*; remove .* to run it again"):
        Done(tmp_path, {"status": "finished"}).scores  # noqa: B018 (reading is what is tested)
