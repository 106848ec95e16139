"""Locks that outlive a fork."""

from __future__ import annotations

import os
import threading


def across_forks(lock: threading.Lock) -> threading.Lock:  # type: ignore[valid-type]
    """A lock that is free in every forked process: nobody holds it while the process forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
