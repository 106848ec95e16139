"""What grows with a collection: memory that a process watches, and lines through sizes to that of MS MARCO."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

MSMARCO = 8_841_823


class Memory:
    """The process's peak of all resident memory, and of what is not mapped from files (which the system can drop)."""

    def __init__(self) -> None:
        self.own = 0.0
        self._stop = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.own = max(self.own, status("RssAnon"))

    def peaks(self) -> dict[str, float]:
        """MB."""
        self._stop.set()
        return {"peak_mb": status("VmHWM"), "peak_own_mb": max(self.own, status("RssAnon"))}


def status(field: str) -> float:
    """A field of Linux's /proc/self/status in MB; nan elsewhere."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
    except OSError:
        return float("nan")


def extrapolated(rows: list[dict[str, Any]], to: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Every quantity at ``to`` passages by a line through all sizes, and how far the last size lies off the line
    through the others (in %)."""
    sizes = np.array([row["passages"] for row in rows], float)
    found: dict[str, Any] = {"passages": to}
    off: dict[str, float] = {}
    for name in list(rows[0])[1:]:
        values = np.array([row[name] for row in rows])
        found[name] = float(np.polyval(np.polyfit(sizes, values, 1), to))
        expected = float(np.polyval(np.polyfit(sizes[:-1], values[:-1], 1), sizes[-1]))
        off[name] = 100 * (values[-1] / expected - 1)
    return found, off


def lines_of(rows: list[dict[str, Any]], whole: dict[str, Any], off: dict[str, float]) -> list[dict[str, Any]]:
    """A table's rows: every quantity at each size, at that of MS MARCO by the line, and how far off the line."""
    found = []
    for name in list(whole)[1:]:
        sizes = {f"{row['passages']:,}": row[name] for row in rows}
        found.append({"": name, **sizes, f"{MSMARCO:,} (line)": whole[name], "off the line, %": off[name]})
    return found
