"""Independent pieces of work on a CPU, each in a thread of its own; how many threads is decided here alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

from ltr.machine.cores import cores

Piece = TypeVar("Piece")
Result = TypeVar("Result")

#: fewer tokens are not worth a thread
LEAST = 256
#: what sets a number of threads for the calling thread alone: OpenMP's, and that of the matrix library inside torch (by the name
#: that takes a number; the same in small letters takes an address)
SETTERS = ("omp_set_num_threads", "MKL_Set_Num_Threads_Local")


def workers() -> int:
    """How many threads may compute at once for the calling thread: as many as torch has, no more than there are ``cores``."""
    return min(getattr(_left, "workers", None) or torch.get_num_threads(), cores())


def threads_for(tokens: int) -> int:
    """How many threads share so many tokens: at most all ``workers``, with ``LEAST`` tokens for each."""
    return max(1, min(workers(), tokens // LEAST))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """torch computes in the calling thread without its helpers, which are left to ``workers``.

    Each operation that torch shares out ends when its slowest thread does: for small ones that is soon where processors
    are idle, and many times later than alone where other processes want them too.
    """
    before, held = torch.get_num_threads(), getattr(_left, "workers", None)
    if before == 1 or not _separable():
        yield
        return
    _left.workers = held or before
    use_threads(1)
    try:
        yield
    finally:
        _left.workers = held
        use_threads(before)


#: of threads that compute alone: how many workers they may start
_left = threading.local()


def in_threads(work: Callable[[Piece], Result], pieces: Sequence[Piece], threads: int) -> list[Result]:
    """The results for all pieces, in order; torch's own threads are shared out among those that work.

    Threads that compute different pieces never wait for each other, while those that share each product wait several times
    in every layer: 1.05 x as fast on two idle cores, and 2 to 6 x where other processes want them too. Nothing of the
    process changes meanwhile; where torch cannot give a thread a number of its own, this thread does all the work.

    Args:
        work: gives up Python's lock nearly all of the time, as torch's operations do.
        pieces: what there is to do.
        threads: how many to start; 1 for none.
    """
    threads = min(threads, len(pieces))
    if threads < 2 or not _separable():
        return [work(piece) for piece in pieces]
    share = max(1, workers() // threads)
    with ThreadPoolExecutor(threads, "ltr-score", initializer=use_threads, initargs=(share,)) as pool:
        return list(pool.map(work, pieces))


def unforked(work: Callable[[], Result]) -> Result:
    """The result of ``work``, computed in a new thread where this one has been through a fork.

    OpenMP keeps helpers for each thread that has shared out an operation. They are not there in a forked process, where the
    thread that lives on waits for them for ever (a server that loads a model and then forks its workers). A new thread
    starts with none. Modes that torch keeps for each thread are not taken along: ``work`` sets what it needs.
    """
    if threading.get_ident() != _forked:
        return work()
    with ThreadPoolExecutor(1, "ltr-forked") as pool:
        return pool.submit(work).result()


#: the thread that has been through a fork, in a forked process
_forked: int | None = None


def _after_fork() -> None:
    global _forked
    _forked = threading.get_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def use_threads(share: int) -> None:
    """Let torch use so many threads in this thread, whatever it uses in others.

    ``torch.set_num_threads`` would also change where all threads begin that start later.
    """
    torch.get_num_threads()  # else the first operation takes the number of the process, whatever was set before
    for setter in _setters():
        setter(share)


@cache
def _setters() -> tuple[Callable[[int], object], ...]:
    """``SETTERS`` of the libraries that torch itself computes with; none where there is no OpenMP."""
    names = {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}
    path = Path(torch.__file__).parent / "lib" / names.get(sys.platform, "libtorch_cpu.so")
    try:
        library = ctypes.CDLL(str(path))  # loaded already: this gives its names, and those of what it is linked to
        setters = [getattr(library, SETTERS[0])]
    except (OSError, AttributeError):
        return ()
    return (*setters, *(getattr(library, name) for name in SETTERS[1:] if hasattr(library, name)))


@cache
def _separable() -> bool:
    """Whether a thread can have a number of its own: tried once, in threads that end with it."""
    before = torch.get_num_threads()

    def own() -> int:
        use_threads(before + 1)
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as one:
        changed = one.submit(own).result()
    return changed == before + 1 and torch.get_num_threads() == before
