"""One writer at a time, and what tells a file in the making from one that a killed process left."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows: there nothing counts as left, and nothing is cleared
    fcntl = None  # type: ignore[assignment]

from ltr.errors import DataError
from ltr.io.disk import disk_errors, make_folder_of


@contextlib.contextmanager
def only_writer(path: str | os.PathLike, lock: str | os.PathLike, busy: str) -> Iterator[None]:
    """Hold the lock file of ``path``; the system lets it go when the process ends, however it does.

    Args:
        path: what is written.
        lock: its lock file, removed at the end; one that a killed process left does no harm.
        busy: what to tell the user where another process holds it.

    Raises:
        DataError: another process holds it, or the place cannot be written.
    """
    from filelock import FileLock, Timeout

    new = [folder for folder in Path(os.path.abspath(lock)).parents if not folder.exists()]
    make_folder_of(lock, told=path)
    held = FileLock(os.fspath(lock), timeout=0)
    try:
        with disk_errors(path):
            held.acquire()
    except Timeout:
        raise DataError(busy) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # where the system minds that it is open
            os.unlink(lock)
        held.release()
        with contextlib.suppress(OSError):  # folders that were made for it, where nothing was written in them
            for folder in new:
                folder.rmdir()


@contextlib.contextmanager
def in_the_making(make: Callable[[], str]) -> Iterator[Path]:
    """A file or folder that is made here and marked as being written; the mark ends with the process, however it does.

    Who clears up may find it before it is marked, and takes it for left; then another one is made.

    Args:
        make: makes it under a name that was not there, and gives the name.
    """
    while True:
        path = make()
        handle = _marked(path)
        if os.path.exists(path):
            break
        _close(handle)
    try:
        yield Path(path)
    finally:
        _close(handle)


def remove_left(path: str | os.PathLike) -> None:
    """Remove a file or folder that was once ``in_the_making``, unless somebody still writes it."""
    if fcntl is None:
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # it took its place meanwhile
        return
    try:  # another process may be as tidy
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # with the lock held: who has just made it waits for it, and sees that it is gone
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    except OSError:
        return
    finally:
        os.close(handle)


def _marked(path: str) -> int | None:
    """The open descriptor that marks a path; None where there is no mark, or no such path any more."""
    if fcntl is None:
        return None
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # file systems without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)
