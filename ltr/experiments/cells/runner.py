"""Runs what a benchmark lacks, cell by cell, and says how far it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ltr.errors import ConfigError, DataError, LtrError
from ltr.experiments.cells.cell import Outcome, Task
from ltr.experiments.cells.store import Done, Store
from ltr.experiments.cells.workers import Executor
from ltr.experiments.contents import Known
from ltr.experiments.spec.building import build
from ltr.experiments.spec.plan import Group, groups
from ltr.experiments.spec.spec import Spec
from ltr.io.files import replacing

#: how a user says that parts share queries on purpose
OPTION = "allow_overlap: true in the spec, or --allow_overlap=true"
_APART = "they cannot stand beside each other; run the benchmark again, which measures anew what is not of today's data"


def loaded(spec: Spec, trust_data: bool = False) -> tuple[list[Group], Store]:
    """The groups of a benchmark with the cells that are finished, on the data as they are now.

    Args:
        spec: the benchmark.
        trust_data: take cells of which nobody knows what their data held as made of today's.
    """
    store = Store(spec.folder, trust_data)
    groups = planned(spec)
    for group in groups:
        group.load(store)
    return groups, store


def planned(spec: Spec) -> list[Group]:
    """The groups of a benchmark without any cell, knowing what their data hold."""
    known = Known()
    planned = groups(spec)
    for group in planned:
        task = group.example()
        contents = known(task.data, task.scorer or task.ranker)
        group.contents = contents | known.code(*group.named) if isinstance(contents, dict) else None
    return planned


def reported(spec: Spec) -> tuple[list[Group], list[str]]:
    """The groups with all cells that can be shown beside each other, failed ones too, and what is to be said of their data.

    A data set that was changed since is shown as it was, as long as none of its cells is of today's data.

    Raises:
        DataError: cells of one data set were made of different contents, none of them today's.
    """
    groups, store = planned(spec), Store(spec.folder)
    notes = []
    for name in spec.data:
        own = [group for group in groups if group.data_name == name]
        for group in own:
            group.load(store, failed=True)
        if any(cell.finished for group in own for cell in group.cells) or not any(group.stale for group in own):
            left = sum(len(group.stale) for group in own)
            notes += [f"{name}: {left} finished cells are not of today's data, and left out"] if left else []
            continue
        for group in own:
            group.load(store, stale=True, failed=True)
        notes += _verdict(name, own)
    return groups, notes


def _verdict(name: str, own: Sequence[Group]) -> list[str]:
    """What is to be said of a data set whose cells are none of today's data."""
    cells = [(group, cell) for group in own for cell in group.cells if cell.finished]
    if any(cell.contents is None for _, cell in cells):
        if any(cell.contents is not None for _, cell in cells):
            raise DataError(f"{name}: of some of its cells nobody knows what their data held; {_APART}")
        return [f"{name}: made before ltr kept what data hold, so nobody can tell whether they are today's"]
    seen: dict[tuple[str, str, str], str] = {}
    for group, cell in cells:
        for part, digits in (cell.contents or {}).items():
            # a scorer has a model of its own, and a loss may have data of its own
            key = group.scorer_name if part.startswith("scorer") else "", "" if group.plain else group.loss_name, part
            if seen.setdefault(key, digits) != digits:
                raise DataError(f"{name}: its cells were made of different contents of {part}; {_APART}")
    different = dict.fromkeys(part for group, cell in cells for part in cell.differs(group.contents))
    return [f"{name}: made of data that have changed since ({', '.join(different)})"]


def run(spec: Spec, executor: Executor, say: Callable[[str], None] = print, trust_data: bool = False) -> list[Group]:
    """Run all cells that are not finished, and those whose data have changed since.

    A failed cell is kept with its reason and does not stop the others; the next start tries it again.

    Args:
        spec: the benchmark.
        executor: where cells run; closed at the end.
        say: told a line for each cell that ends.
        trust_data: see ``loaded``.

    Returns:
        All groups with their cells.

    Raises:
        ConfigError: another process runs the same benchmark, or cells lie there of which nobody knows what their data held.
        DataError: dev or test share queries with train.
    """
    try:
        with locked(spec.folder):
            return _run(spec, executor, say, trust_data)
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


def of_other_data(groups: Sequence[Group]) -> list[str]:
    """Sentences on finished cells that are measured anew because their data have changed, one for each data set."""
    told = []
    for name in dict.fromkeys(group.data_name for group in groups):
        stale = [(group, cell) for group in groups if group.data_name == name for cell in group.stale if cell.contents]
        if stale:
            different = dict.fromkeys(part for group, cell in stale for part in cell.differs(group.contents))
            told.append(f"{name}: {', '.join(different)} changed, so {len(stale)} finished cells are measured anew")
    return told


def refuse_unknown(spec: Spec, groups: Sequence[Group]) -> None:
    """Raise ConfigError for finished cells of which nobody knows what their data held."""
    unknown = [cell for group in groups for cell in group.stale if cell.contents is None]
    if unknown:
        raise ConfigError(
            f"{spec.folder} holds {len(unknown)} finished cells from before ltr kept what data hold, so nobody can tell "
            "whether they belong beside cells of today's data: --trust-data takes them as made of today's, --folder NAME "
            "measures all anew in another folder, and --report shows them as they are"
        )


def overlapping(spec: Spec, groups: Sequence[Group]) -> list[str]:
    """What dev and test of data sets that are still trained on share with train; see ``ltr.data.overlap``.

    Raises:
        DataError: queries that are trained on, unless the spec allows them.
    """
    from ltr.data.overlap import overlaps, refuse_overlap

    told, seen = [], []
    for group in groups:
        config = group.example().data
        if config in seen or len(group.cells) == group.n_cells:
            continue
        seen.append(config)
        try:
            shared = overlaps(build("data", config))
        except (LtrError, OSError):
            continue  # its cells will say what is wrong with it
        try:
            told += [f"{group.data_name}: {text}" for text in refuse_overlap(shared, spec.allow_overlap, OPTION)]
        except DataError as error:
            raise DataError(f"{group.data_name}: {error}") from None
    return list(dict.fromkeys(told))


def _run(spec: Spec, executor: Executor, say: Callable[[str], None], trust_data: bool) -> list[Group]:
    groups, store = loaded(spec, trust_data)
    refuse_unknown(spec, groups)
    shared = overlapping(spec, groups)
    for group in groups:
        group.adopt(store)
    with replacing(store.folder / "spec.yaml") as file:
        file.write(spec.yaml(folder=False))
    progress = Progress(groups, executor.slots, say)
    for text in (*of_other_data(groups), *shared):
        say(f"! {text}")
    running: dict[str, Group] = {}
    while True:
        for group, task in _waiting(groups, executor.slots - len(running)):
            group.running.add(task.run)
            running[task.title] = group
            executor.submit(task)
        if not running:
            return groups
        task, outcome = executor.next()
        group = running.pop(task.title)
        first = not any(cell.finished for g in groups if g.data_name == task.data_name for cell in g.seeds.values())
        done = _kept(store, task, outcome, group.plain, first)
        group.done(task, done)
        progress.tell(task, done)


def _waiting(groups: Sequence[Group], free: int) -> list[tuple[Group, Task]]:
    """Up to ``free`` cells that can start now; trials before seeds, so that no worker waits for a single trial."""
    tasks = [(group, task) for group in groups for task in group.ready()]
    tasks.sort(key=lambda pair: pair[1].test)
    return tasks[:free]


def _kept(store: Store, task: Task, outcome: Outcome, plain: bool, first: bool) -> Done:
    try:
        return store.keep(task, outcome, plain, first)
    except DataError as error:
        if outcome.truth is None:
            raise
        return store.keep(task, Outcome({**outcome.record, "status": "failed", "reason": str(error)}))


class Progress:
    """Lines about cells that end: how many, how good, how long the rest takes."""

    def __init__(self, groups: Sequence[Group], slots: int, say: Callable[[str], None]):
        self.groups, self.slots, self.say = groups, slots, say
        self.total = sum(group.n_cells for group in groups)
        done = sum(len(group.cells) for group in groups)
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
