"""How many tokens to compute at once, found by trying: as many as pay, never more than memory holds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ltr.machine.cgroups import MOUNTED, groups
from ltr.scorers.out_of_memory import is_out_of_memory, released

#: sizes that are tried, in tokens
SIZES = tuple(2**k for k in range(9, 15))
#: share of the free memory that a micro-batch may take: training keeps the activations of the others beside it
SHARE = 0.25
#: a larger size must be so much faster than the best smaller one; smaller ones leave memory to others
GAIN = 1.03
#: tokens at once on a GPU beyond which nothing was gained
MOST = 2**17


#: files of a memory control group: its limit and its use, and in memory.stat the files' pages that others may have
VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
VERSION_2 = "memory.max", "memory.current", "inactive_file"


@dataclass(frozen=True)
class Machine:
    """What the probe reads of a machine.

    Attributes:
        free: bytes of memory that can still be had.
        clock: seconds.
        peak: bytes that a call took at its height; None where it cannot be told.
    """

    free: Callable[[], int]
    clock: Callable[[], float] = time.perf_counter
    peak: Callable[[Callable[[], None]], int] | None = None

    @classmethod
    def of(cls, device: torch.device) -> Machine:
        """This machine, as seen from a device."""
        if device.type == "cuda":
            return cls(lambda: _cuda_free(device), peak=lambda run: _cuda_peak(device, run))
        return cls(_available)


def probe(
    run: Callable[[int], None], bytes_per_token: int, device: torch.device, machine: Machine | None = None
) -> int:
    """How many tokens to compute at once on a device; 512 where even the trial runs out of memory.

    Random numbers go on afterwards as if nothing had been tried.

    Args:
        run: computes about so many tokens.
        bytes_per_token: memory that one token takes at most; a GPU is measured instead.
        device: where ``run`` works.
        machine: default: this one.
    """
    machine = machine or Machine.of(device)
    try:
        # dropout draws, in training; in scoring nothing does, and the generator may be another thread's meanwhile
        kept = torch.is_grad_enabled()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else [], enabled=kept):
            return fastest(run, bytes_per_token, machine) if machine.peak is None else largest(run, machine)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    released()
    return SIZES[0]


def token_bytes(config: Any, training: bool) -> int:
    """Memory that a token takes at most in an encoder: what a layer holds, for all layers where gradients need it."""
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    layer = 4 * (16 * config.hidden_size + 3 * inner)
    return layer * config.num_hidden_layers if training else layer


def fastest(run: Callable[[int], None], bytes_per_token: int, machine: Machine) -> int:
    """The number of tokens at once that is fastest, for devices whose caches matter more than their size.

    Sizes are tried from the smallest, until one is not clearly faster or would take more than its share of memory.

    Args:
        run: computes about so many tokens.
        bytes_per_token: memory that one token takes at most.
        machine: its memory and clock.
    """
    allowed = SHARE * machine.free() / bytes_per_token
    sizes = [size for size in SIZES if size <= allowed]
    if not sizes:
        return SIZES[0]
    run(sizes[0])  # the first call pays for what is set up once
    best, rate = sizes[0], 0.0
    for size in sizes:
        speed = size / min(_seconds(run, size, machine) for _ in range(2))
        if speed < rate * GAIN:
            break
        best, rate = size, speed
    return best


def largest(run: Callable[[int], None], machine: Machine) -> int:
    """The number of tokens at once that fits well into memory, for devices that are faster the more they have to do.

    Two small sizes tell what a token takes; the rest is proportion.

    Args:
        run: computes about so many tokens.
        machine: its memory, with ``peak``.
    """
    assert machine.peak is not None
    small, double = SIZES[0], 2 * SIZES[0]
    run(small)  # the first call pays for what is set up once
    low, high = (machine.peak(lambda n=n: run(n)) for n in (small, double))  # type: ignore[misc]
    per_token = max((high - low) / small, 1.0)
    fitting = int(SHARE * machine.free() / per_token)
    return max(SIZES[0], min(fitting // 256 * 256, MOST))


def _seconds(run: Callable[[int], None], size: int, machine: Machine) -> float:
    start = machine.clock()
    run(size)
    return max(machine.clock() - start, 1e-9)


def _available(proc: Path = Path("/proc"), mounted: Path = MOUNTED) -> int:
    """Bytes that a process can still have: of the machine, and within the limits of a container."""
    try:
        with open(proc / "meminfo") as file:
            meminfo = {line.split(":")[0]: int(line.split()[1]) for line in file if line.endswith("kB\n")}
        return min([1024 * meminfo["MemAvailable"], *_allowed(proc / "self" / "cgroup", mounted)])
    except (OSError, KeyError):  # not Linux: half of what is there
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _allowed(own: Path, mounted: Path) -> list[int]:
    """Bytes that are left in each limited control group around this process."""
    left = []
    for group in groups("memory", own, mounted):
        limit, used, idle = VERSION_1 if group.version == 1 else VERSION_2
        try:
            most, taken = (int((group.folder / name).read_text()) for name in (limit, used))
            facts = dict(fact.split() for fact in (group.folder / "memory.stat").read_text().splitlines())
            left.append(most - taken + int(facts[idle]))
        except (OSError, ValueError, KeyError):  # not there, or "max": no limit
            continue
    return left


def _cuda_free(device: torch.device) -> int:
    # what torch holds without using it can be had as well
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _cuda_peak(device: torch.device, run: Callable[[], None]) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
