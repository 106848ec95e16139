"""What a review of the engine broke: two starts at once, workers that end between cells, a parent that is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ltr.errors import ConfigError
from ltr.experiments.runner import locked
from ltr.experiments.workers import Processes

PARENT = """
import time
from ltr.experiments import workers
from ltr.experiments.workers import Processes, _Worker
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
        patch.setattr("ltr.experiments.workers._Worker", lambda *_: made)
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
