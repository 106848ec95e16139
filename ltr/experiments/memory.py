"""How much memory a cell needs at its peak."""

from __future__ import annotations

import resource
import sys

import torch


def begin() -> None:
    """Forget the peak so far, where the system lets a process do that (Linux); elsewhere the whole process counts."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return


def peak() -> dict[str, float]:
    """Peak memory in MB since ``begin``: of the process, and of the GPU where there is one."""
    found = {"memory_mb": _process()}
    if torch.cuda.is_available():
        found["gpu_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def _process() -> float:
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
