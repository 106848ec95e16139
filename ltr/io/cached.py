"""Folders that are computed once and kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ltr.io.files import cache_folder, disk_errors


def cached_folder(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``kind/key`` in the user's cache, built on first use.

    It is built beside its place and renamed when complete, so that an interruption leaves nothing half-made and two
    processes that build at once end with one good folder.

    Args:
        kind: what it holds; the parent folder's name.
        key: what identifies the content; the folder's name.
        build: writes the content into the empty folder that it is given.
    """
    parent = cache_folder(kind)
    place = parent / key
    if place.is_dir():
        return place
    beside = Path(tempfile.mkdtemp(dir=parent, prefix=f".{key}.", suffix=".part"))
    try:
        with disk_errors(place):
            build(beside)
        try:
            os.rename(beside, place)
        except OSError:
            if not place.is_dir():  # otherwise another process was quicker: its folder holds the same
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return place
