"""Processes of this machine that run cells; one that dies takes only its own cell with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from ltr.experiments.cells.cell import Outcome, Task, run_task


class Executor(Protocol):
    """Runs cells somewhere."""

    @property
    def slots(self) -> int:
        """How many cells run side by side."""

    def submit(self, task: Task) -> None:
        """Start a cell; no more than ``slots`` at a time."""

    def next(self) -> tuple[Task, Outcome]:
        """Wait for the next cell that ends."""

    def close(self) -> None:
        """Stop what still runs."""


class Processes:
    """``n`` worker processes.

    Args:
        n: how many.
        threads: computing threads of each.
    """

    def __init__(self, n: int, threads: int = 1):
        self.slots = n
        self._threads = threads
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def submit(self, task: Task) -> None:
        while self._idle and not self._idle[-1].process.is_alive():
            self._idle.pop()  # ended between two cells: the system was short of memory
        worker = self._idle.pop() if self._idle else _Worker(self._context, self._threads)
        worker.give(task)
        self._busy[worker.pipe] = worker

    def next(self) -> tuple[Task, Outcome]:
        ended: Any = wait(list(self._busy))[0]
        worker = self._busy.pop(ended)
        task = worker.task
        assert task is not None
        try:
            outcome = worker.pipe.recv()
            self._idle.append(worker)
        except (EOFError, ConnectionResetError):
            outcome = Outcome({"status": "failed", "reason": worker.death()})
        return task, outcome

    def close(self) -> None:
        for worker in self._idle:
            with contextlib.suppress(OSError):  # one that has ended needs no word
                worker.pipe.send(None)
        for worker in self._busy.values():
            worker.process.terminate()
        for worker in [*self._idle, *self._busy.values()]:
            worker.process.join()


class _Worker:
    def __init__(self, context: Any, threads: int):
        self.pipe, theirs = context.Pipe()
        # no daemon: those may not have children, and a cell's data may be loaded by some
        self.process = context.Process(target=_serve, args=(theirs, threads))
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the child imports torch
        try:
            self.process.start()
        finally:
            if before is None:
                del os.environ["OMP_NUM_THREADS"]
            else:
                os.environ["OMP_NUM_THREADS"] = before
        theirs.close()  # so that the pipe ends when the process does
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        self.pipe.send(task)

    def death(self) -> str:
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"the worker process ended with exit code {code}"
        hint = "; the system may have run out of memory: use fewer --workers" if -code == signal.SIGKILL else ""
        return f"the worker process was ended by signal {signal.Signals(-code).name}{hint}"


def _serve(pipe: Connection, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's affair
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        if task is None:
            return
        pipe.send(run_task(task))


def _end_with_parent() -> None:
    """End this process, in the middle of a cell if need be, when the one that started it is no more.

    A main process that is killed or terminated cannot close its workers; they would compute on for nobody.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
