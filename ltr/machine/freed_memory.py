"""Memory that the C library keeps after it was freed: handed back to the system once it is much."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache

from ltr.machine.forks import across_forks

#: bytes that may be kept: what fits into them is taken again without asking the system, which makes each page anew
KEPT = 128 * 2**20

_lock = across_forks(threading.Lock())
#: resident bytes after memory was handed back the last time; None before that
_settled: int | None = None


def settle() -> None:
    """Hand back freed memory where the process has grown by more than ``KEPT`` since this was last asked and done.

    Tensors of ever other sizes, as lists of other lengths have them, leave gaps that fit nothing that comes later; each
    thread's grow by themselves. Does nothing where the C library is not that of Linux, or the system does not tell how large
    the process is.
    """
    global _settled
    trim = _trim()
    if trim is None or not _lock.acquire(blocking=False):
        return
    try:
        now = resident()
        if _settled is None:
            _settled = now
        elif now > _settled + KEPT:
            trim(0)
            _settled = resident()
        else:
            _settled = min(_settled, now)
    except OSError:  # no /proc, or no file can be opened just now: whoever computes goes on
        pass
    finally:
        _lock.release()


def hand_back() -> None:
    """Hand back all freed memory now: after work that is done once, as opening a model, and frees much of what it took."""
    global _settled
    if trim := _trim():
        with _lock:
            trim(0)
            try:
                _settled = resident()
            except OSError:
                _settled = None


def resident() -> int:
    """Bytes of this process that lie in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@cache
def _trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``, which looks through what all threads have freed."""
    if not sys.platform.startswith("linux"):
        return None
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
