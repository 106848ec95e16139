"""One writer at a time, and what tells a file in the making from one that a killed process left."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
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
def in_the_making(path: str | os.PathLike) -> Iterator[None]:
    """Mark a file or folder as being written; the mark ends with the process, however it does."""
    handle = None if fcntl is None else os.open(path, os.O_RDONLY)
    try:
        if handle is not None:
            with contextlib.suppress(OSError):  # file systems without locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def is_left(path: str | os.PathLike) -> bool:
    """Whether nobody writes any more what was once ``in_the_making``."""
    if fcntl is None:
        return False
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # it took its place meanwhile
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
