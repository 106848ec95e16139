"""How much memory a cell needs at its peak, beyond what its process held before."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys

import torch


class PeakMemory:
    """Measures from its making on.

    What earlier cells of the process freed is given back to the system first (with glibc), and the peak is forgotten
    (on Linux), so that a cell does not pay for those before it. Elsewhere the whole process's peak counts.
    """

    def __init__(self) -> None:
        gc.collect()  # models of the cell before hang in cycles, and few objects hold much memory
        if sys.platform == "linux":
            getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._before = 0.0
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        except OSError:
            return
        self._before = _held("VmRSS")

    @property
    def peak(self) -> dict[str, float]:
        """Peak in MB: ``memory_mb`` of the process, ``gpu_memory_mb`` where there is a GPU."""
        highest = _held("VmHWM")
        if not highest:
            unit = 2**20 if sys.platform == "darwin" else 2**10
            highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        memory = {"memory_mb": round(highest - self._before, 1)}
        if torch.cuda.is_available():
            memory["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        return memory


def _held(what: str) -> float:
    """A figure of Linux about this process in MB; 0 where there is none."""
    try:
        with open("/proc/self/status") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith(f"{what}:")), 0.0)
    except OSError:
        return 0.0
