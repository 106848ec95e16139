"""Processes that keep processors busy beside what is measured, and end whatever happens to who started them."""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType

#: a burner ends by itself when whoever started it is gone, or after so many seconds
LONGEST = 1800
BURN = """
import os, sys, time
parent, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while os.getppid() == parent and time.monotonic() < end:
    for _ in range(1_000_000):
        pass
"""


class Neighbours:
    """Some processes that only count, from the beginning of a ``with`` block to its end.

    Args:
        number: how many.
    """

    def __init__(self, number: int):
        self.number = number
        self.running: list[subprocess.Popen] = []

    def __enter__(self) -> Neighbours:
        command = [sys.executable, "-S", "-c", BURN, str(os.getpid()), str(LONGEST)]
        try:
            for _ in range(self.number):
                self.running.append(subprocess.Popen(command))
        except OSError:
            self.end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """Kill them, and wait until they are gone."""
        for one in self.running:
            one.kill()
        for one in self.running:
            one.wait()
        self.running = []
