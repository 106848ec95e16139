"""Runs what a benchmark lacks, cell by cell, and says how far it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ltr.errors import ConfigError, DataError
from ltr.experiments.cells.cell import Outcome, Task
from ltr.experiments.cells.store import Done, Store
from ltr.experiments.cells.workers import Executor
from ltr.experiments.spec.plan import Group, groups
from ltr.experiments.spec.spec import Spec
from ltr.io.files import replacing


def loaded(spec: Spec) -> tuple[list[Group], Store]:
    """The groups of a benchmark with the cells that are finished."""
    store = Store(spec.folder)
    found = groups(spec)
    for group in found:
        group.load(store)
    return found, store


def run(spec: Spec, executor: Executor, say: Callable[[str], None] = print) -> list[Group]:
    """Run all cells that are not finished.

    A failed cell is kept with its reason and does not stop the others; the next start tries it again.

    Args:
        spec: the benchmark.
        executor: where cells run; closed at the end.
        say: told a line for each cell that ends.

    Returns:
        All groups with their cells.

    Raises:
        ConfigError: another process runs the same benchmark.
    """
    try:
        with locked(spec.folder):
            return _run(spec, executor, say)
    finally:
        executor.close()


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold a benchmark's folder; the system lets it go when the process ends, however it does.

    Raises:
        ConfigError: another process holds it.
    """
    from filelock import FileLock, Timeout

    Path(folder).mkdir(parents=True, exist_ok=True)
    lock = FileLock(Path(folder) / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"another ltr benchmark is running in {folder}; wait for it, or choose another folder (--folder NAME); "
            "--report shows what is finished"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _run(spec: Spec, executor: Executor, say: Callable[[str], None]) -> list[Group]:
    found, store = loaded(spec)
    with replacing(store.folder / "spec.yaml") as file:
        file.write(spec.yaml(folder=False))
    progress = Progress(found, executor.slots, say)
    running: dict[str, Group] = {}
    while True:
        for group, task in _waiting(found, executor.slots - len(running)):
            group.running.add(task.run)
            running[task.title] = group
            executor.submit(task)
        if not running:
            return found
        task, outcome = executor.next()
        group = running.pop(task.title)
        done = _kept(store, task, outcome, group.plain)
        group.done(task, done)
        progress.tell(task, done)


def _waiting(found: Sequence[Group], free: int) -> list[tuple[Group, Task]]:
    """Up to ``free`` cells that can start now; trials before seeds, so that no worker waits for a single trial."""
    tasks = [(group, task) for group in found for task in group.ready()]
    tasks.sort(key=lambda pair: pair[1].test)
    return tasks[:free]


def _kept(store: Store, task: Task, outcome: Outcome, plain: bool) -> Done:
    try:
        return store.keep(task, outcome, plain)
    except DataError as error:
        if outcome.truth is None:
            raise
        return store.keep(task, Outcome({**outcome.record, "status": "failed", "reason": str(error)}))


class Progress:
    """Lines about cells that end: how many, how good, how long the rest takes."""

    def __init__(self, found: Sequence[Group], slots: int, say: Callable[[str], None]):
        self.groups, self.slots, self.say = found, slots, say
        self.total = sum(group.n_cells for group in found)
        done = sum(len(group.cells) for group in found)
        self.before = done
        self.start = time.perf_counter()
        known = f", {done} of them finished before" if done else ""
        say(f"{self.total} cells{known}; {slots} at a time")

    def tell(self, task: Task, done: Done) -> None:
        count = sum(len(group.cells) for group in self.groups)
        record = done.record
        if done.finished:
            result = f"dev/{task.monitor} {record['value']:.4f}, {record['total_seconds']:.0f} s"
        else:
            result = f"FAILED: {record['reason'].splitlines()[0]}"
        self.say(f"[{count}/{self.total}] {task.title}: {result}{self._left(count)}")

    def _left(self, count: int) -> str:
        lacking = sum(g.n_cells - len(g.cells) for g in self.groups if not g.hopeless)
        if not lacking:
            return ""
        rate = (time.perf_counter() - self.start) / max(count - self.before, 1)
        return f"; about {duration(rate * lacking)} left"


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
