"""Hashes of large files, computed once: a file of the same place, size and time of change has the same content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from ltr.errors import DataError
from ltr.io.caching.cache_folder import cache_folder
from ltr.io.caching.keys import key_of_parts
from ltr.io.files import replacing

#: smaller files are read each time, which takes some milliseconds
LARGE = 2**23
#: a file that changed less than so many seconds ago could change again without its time telling
FRESH = 2.0


def digest(path: str | os.PathLike, kind: str = "blake2b", size: int = 8) -> str:
    """Hexadecimal digits of a file's content; those of a large file are kept in the user's cache.

    Args:
        path: the file.
        kind: a hash of ``hashlib``.
        size: bytes of the hash that are taken.

    Where the cache cannot be written, every call reads the file.
    """
    now = time.time()  # what changes the file from here on shows in its time
    facts = os.stat(path)
    if facts.st_size < LARGE:
        return _computed(path, kind, size)
    place = str(Path(path).resolve())
    name = key_of_parts(json.dumps([place, kind, size]), size=10)
    try:
        kept = cache_folder("hashes") / f"{name}.json"
    except (OSError, DataError):
        return _computed(path, kind, size)
    # the time of change (ctime) tells where another program put the time of writing back
    state = [place, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["state"] == state:
            return known["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not kept yet, or damaged: computed anew either way
    computed = _computed(path, kind, size)
    if now - facts.st_mtime > FRESH:
        with contextlib.suppress(DataError), replacing(kept) as file:
            json.dump({"state": state, "digest": computed}, file)
    return computed


def _computed(path: str | os.PathLike, kind: str, size: int) -> str:
    whole = hashlib.blake2b(digest_size=size) if kind == "blake2b" else hashlib.new(kind)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            whole.update(block)
    return whole.hexdigest()[: 2 * size]
