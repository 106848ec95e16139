"""Memory that is freed goes back to the system once it is much, and not before."""

import sys

import pytest

from ltr.machine import freed_memory


@pytest.fixture
def process(monkeypatch):
    """A process whose resident bytes are ``process[0]``, and which has been trimmed ``process[1]`` times."""
    found = [10**9, 0]

    def trim(pad: int) -> int:
        found[0] -= 10**8
        found[1] += 1
        return 1

    monkeypatch.setattr(freed_memory, "_trim", lambda: trim)
    monkeypatch.setattr(freed_memory, "resident", lambda: found[0])
    monkeypatch.setattr(freed_memory, "_settled", None)
    return found


def test_little_is_kept_and_much_goes_back(process):
    freed_memory.settle()
    process[0] += freed_memory.KEPT
    freed_memory.settle()
    assert process[1] == 0
    process[0] += 1
    freed_memory.settle()
    freed_memory.settle()
    assert process[1] == 1
    process[0] += freed_memory.KEPT
    freed_memory.settle()
    assert process[1] == 1


def test_a_process_that_shrinks_may_grow_again_by_as_much_only(process):
    freed_memory.settle()
    process[0] -= 5 * 10**8
    freed_memory.settle()
    process[0] += freed_memory.KEPT + 1
    freed_memory.settle()
    assert process[1] == 1


def test_after_work_that_is_done_once_all_goes_back(process):
    freed_memory.hand_back()
    assert process == [9 * 10**8, 1]
    process[0] += freed_memory.KEPT
    freed_memory.settle()
    assert process[1] == 1


def test_one_thread_at_a_time_looks(process):
    freed_memory.settle()
    process[0] += freed_memory.KEPT + 1
    with freed_memory._lock:
        freed_memory.settle()
    assert process[1] == 0


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(freed_memory, "_trim", lambda: None)
    monkeypatch.setattr(freed_memory, "resident", lambda: pytest.fail("asked"))
    freed_memory.settle()


@pytest.mark.parametrize("ask", [freed_memory.settle, freed_memory.hand_back], ids=lambda ask: ask.__name__)
def test_a_system_that_does_not_tell_of_memory_stops_nobody(ask, process, monkeypatch):
    """No file can be opened while all of a server's are connections, and some sandboxes have no /proc."""

    def resident():
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(freed_memory, "resident", resident)
    ask()
    monkeypatch.setattr(freed_memory, "resident", lambda: process[0])
    freed_memory.settle()
    process[0] += freed_memory.KEPT + 1
    trimmed = process[1]
    freed_memory.settle()
    assert process[1] == trimmed + 1


def test_a_platform_without_it_has_no_trim(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert freed_memory._trim.__wrapped__() is None


@pytest.mark.skipif(freed_memory._trim() is None, reason="not glibc")
def test_what_lies_between_things_that_stay_goes_back(monkeypatch):
    """Counted in bytes: freed blocks below others that are still in use do not go back by themselves."""
    freed_memory._trim()(0)  # what tests before have left free would be taken first, and the process would not grow
    monkeypatch.setattr(freed_memory, "KEPT", 20 * 2**20)
    before = freed_memory.resident()
    monkeypatch.setattr(freed_memory, "_settled", before)
    # all of one size: small ones would fill what tests before have left free, and not stand between these
    blocks = [bytearray(b"x") * 60_000 for _ in range(3000)]
    stays = blocks[::20]
    full = freed_memory.resident()
    assert full - before > 50 * 10**6
    blocks.clear()
    assert freed_memory.resident() - before > 50 * 10**6
    freed_memory.settle()
    assert freed_memory.resident() < full - 40 * 10**6
    assert len(stays) == 150
