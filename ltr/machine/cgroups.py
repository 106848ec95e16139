"""Control groups of Linux: the limits that containers and batch systems set around a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: where the kernel tells a process its groups, and where they are mounted
OWN, MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


class Group(NamedTuple):
    """A folder that may hold the limits of a group, and which of the two versions' files they stand in."""

    folder: Path
    version: int


def groups(controller: str, own: Path = OWN, mounted: Path = MOUNTED) -> Iterator[Group]:
    """The groups around this process that may limit something, the innermost first; a limit holds for all inside.

    In a container the paths that the kernel tells may be those of its host: folders that are not there are given too.

    Args:
        controller: ``memory`` or ``cpu``.
        own: the file that names the groups of the process.
        mounted: where groups are mounted.
    """
    for line in own.read_text().splitlines() if own.exists() else []:
        _, kinds, place = line.split(":", 2)
        if kinds and controller not in kinds.split(","):
            continue
        inner = Path(place.strip("/"))
        for group in (inner, *inner.parents):
            yield Group(mounted / (controller if kinds else "") / group, 1 if kinds else 2)
