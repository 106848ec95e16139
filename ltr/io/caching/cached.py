"""Folders that are computed once and kept in the user's cache."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ltr.io.caching.cache_folder import cache_folder
from ltr.io.disk import disk_errors
from ltr.io.files import building, clear_leftovers

T = TypeVar("T")

#: what reading says of files that are gone, cut short or overwritten
DAMAGE = (OSError, ValueError, EOFError, KeyError)

log = logging.getLogger("ltr")


def cached_folder(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``kind/key`` in the user's cache, built on first use.

    It is built beside its place and renamed when complete, so that an interruption leaves nothing half-made. Of several
    processes one builds, the others wait for it.

    Args:
        kind: what it holds; the parent folder's name.
        key: what identifies the content; the folder's name.
        build: writes the content into the empty folder that it is given.

    Raises:
        DataError: the disk is full, or the cache cannot be written.
    """
    place = cache_folder(kind) / key
    if not place.is_dir():
        with _building(place):
            if not place.is_dir():
                _build(place, build)
    return place


def cached(kind: str, key: str, build: Callable[[Path], None], read: Callable[[Path], T]) -> T:
    """What ``read`` makes of a folder of the user's cache; a folder that it cannot read is removed and built anew.

    Args:
        kind, key, build: see ``cached_folder``.
        read: raises one of ``DAMAGE`` where files are gone or do not hold what was written.
    """
    place = cached_folder(kind, key, build)
    try:
        return read(place)
    except DAMAGE as error:  # told below, unless another process mends it first
        _refuse_sound(error)
    with _building(place):
        try:
            return read(place)
        except DAMAGE as error:
            _refuse_sound(error)
            log.warning("cache: %s is damaged (%s: %s); it is built anew", place, type(error).__name__, error)
        with disk_errors(place):
            shutil.rmtree(place)
        _build(place, build)
    return read(place)


def _refuse_sound(error: Exception) -> None:
    """Raise what says nothing of the files themselves, such as a lack of memory or of rights."""
    if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.ENOTDIR, errno.EIO):
        raise error


def alone(lock: Path, place: Path) -> Any:
    """Hold a lock file as a context, so that one process at a time writes a place; that others wait is said."""
    from filelock import FileLock, Timeout

    held = FileLock(str(lock))
    try:
        return held.acquire(timeout=0)
    except Timeout:
        log.warning("cache: waiting for another process that writes %s", place)
        return held.acquire()


def _building(place: Path) -> Any:
    # locks lie elsewhere: beside its place one could be taken for content
    lock = cache_folder("locks") / f"{place.parent.name}-{place.name}.lock"
    with disk_errors(place):
        return alone(lock, place)


def _build(place: Path, build: Callable[[Path], None]) -> None:
    """Build a folder; to be called with its lock held."""
    with disk_errors(place):
        clear_leftovers(place.parent, [place.name])
        with building(place) as beside:
            build(beside)
