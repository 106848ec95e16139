"""How many processors this process may use: those that it was given, and no more than its share of time on them."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

from ltr.machine.cgroups import MOUNTED, OWN, groups


@cache
def cores() -> int:
    """Processors that this process may use, found once: of the machine, by affinity, and by the quota of its container.

    Threads beyond them wait for one another. torch itself starts one for each processor of the host, whatever the quota.
    """
    return max(1, min([affinity(), *(math.ceil(share) for share in [quota()] if share is not None)]))


@cache
def physical_cores() -> int:
    """The same with processors that share the units of one core counted once."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(cores(), len({_siblings(cpu) for cpu in allowed}))


def _siblings(cpu: int, devices: Path = Path("/sys/devices/system/cpu")) -> str:
    """What the processors of one core have in common."""
    try:
        return (devices / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:  # not Linux: each is a core of its own
        return str(cpu)


def affinity() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(own: Path = OWN, mounted: Path = MOUNTED) -> float | None:
    """Processors whose time the control groups around this process may take; None where there is no limit."""
    found = []
    for group in groups("cpu", own, mounted):
        try:
            if group.version == 1:
                taken, period = (int((group.folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            else:
                taken, period = map(int, (group.folder / "cpu.max").read_text().split())
        except (OSError, ValueError):  # not there, or "max": no limit
            continue
        if taken > 0 and period > 0:  # -1 is no limit
            found.append(taken / period)
    return min(found, default=None)
