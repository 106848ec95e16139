"""Processes that measure, each with the interpreter that its package needs, and how they are spoken with.

A child writes one JSON object a line to its standard output, and reads likewise from its standard input.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.report import versions

#: whose versions a child tells, as far as its environment holds them
RIVALS = ("sentence-transformers", "lightning-ir", "openvino", "nncf", "trl")

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


class ChildFailed(RuntimeError):
    """A child ended without an answer; the text is the end of what it said."""


def environment(threads: int) -> dict[str, str]:
    """What all children find: the same number of threads, no hub, no telemetry, this checkout's ltr."""
    own = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        **own,
        "RAYON_NUM_THREADS": str(threads),  # the tokenizers' threads
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONWARNINGS": "ignore",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
    }


def why(done: subprocess.CompletedProcess[str]) -> str:
    """Why a process ended without its answer: what killed it, else the last line that it said.

    >>> why(subprocess.CompletedProcess([], -9, "", "Loading weights: 100%"))
    'killed by SIGKILL, as where memory runs out'
    >>> why(subprocess.CompletedProcess([], 1, "", "Traceback\\nValueError: no such loss"))
    'ValueError: no such loss'
    """
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"killed by {name}" + ", as where memory runs out" * (name == "SIGKILL")
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return said[-1][:200] if said else f"ended with {done.returncode}"


class Child:
    """A process that answers questions until it is closed.

    Args:
        python: the interpreter.
        script: a file beside this one.
        task: handed to it as its first line.
        threads: what it may compute with.
    """

    def __init__(self, python: str | Path, script: str, task: dict[str, Any], threads: int = 1):
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [str(python), str(HERE / script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, env=environment(threads),
        )  # fmt: skip
        self.ready = self.ask(task)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer to a question.

        Raises:
            ChildFailed: it ended instead.
        """
        question_pipe, answer_pipe = self._process.stdin, self._process.stdout
        assert question_pipe
        assert answer_pipe
        try:
            question_pipe.write(json.dumps(question) + "\n")
            question_pipe.flush()
            line = answer_pipe.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._said.seek(0)
            end = [text for text in self._said.read().splitlines() if text.strip()][-1:] or ["it said nothing"]
            self.close()
            raise ChildFailed(end[0][:300])
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                stream.close()
        self._process.wait()


def answer(handle: Callable[[dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]]]) -> None:
    """The child's side: the first line makes a worker, which answers the lines that follow.

    What packages print goes to standard error, so that it does not mix with the answers.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = None
    for line in sys.stdin:
        question = json.loads(line)
        started = time.perf_counter()
        if worker is None:
            worker = handle(question)
            found: dict[str, Any] = {"load_seconds": time.perf_counter() - started, "versions": versions(RIVALS)}
        else:
            found = worker(question)
        answers.write(json.dumps(found) + "\n")
        answers.flush()


def peak_megabytes() -> float:
    """The largest resident set that this process has had: everything, the interpreter and its packages included."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss comes in bytes or in kilobytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
