"""Memory that is freed goes back to the system once it is much, and not before."""

import sys

import pytest

from ltr.machine import memory


@pytest.fixture
def process(monkeypatch):
    """A process whose resident bytes are ``process[0]``, and which has been trimmed ``process[1]`` times."""
    found = [10**9, 0]

    def trim(pad: int) -> int:
        found[0] -= 10**8
        found[1] += 1
        return 1

    monkeypatch.setattr(memory, "_trim", lambda: trim)
    monkeypatch.setattr(memory, "resident", lambda: found[0])
    monkeypatch.setattr(memory, "_settled", None)
    return found


def test_little_is_kept_and_much_goes_back(process):
    memory.settle()
    process[0] += memory.KEPT
    memory.settle()
    assert process[1] == 0
    process[0] += 1
    memory.settle()
    memory.settle()
    assert process[1] == 1
    process[0] += memory.KEPT
    memory.settle()
    assert process[1] == 1


def test_a_process_that_shrinks_may_grow_again_by_as_much_only(process):
    memory.settle()
    process[0] -= 5 * 10**8
    memory.settle()
    process[0] += memory.KEPT + 1
    memory.settle()
    assert process[1] == 1


def test_one_thread_at_a_time_looks(process):
    memory.settle()
    process[0] += memory.KEPT + 1
    with memory._lock:
        memory.settle()
    assert process[1] == 0


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "_trim", lambda: None)
    monkeypatch.setattr(memory, "resident", lambda: pytest.fail("asked"))
    memory.settle()


def test_a_platform_without_it_has_no_trim(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert memory._trim.__wrapped__() is None


@pytest.mark.skipif(memory._trim() is None, reason="not glibc")
def test_what_lies_between_things_that_stay_goes_back(monkeypatch):
    """Counted in bytes: freed blocks below others that are still in use do not go back by themselves."""
    memory._trim()(0)  # what tests before have left free would be taken first, and the process would not grow
    monkeypatch.setattr(memory, "KEPT", 20 * 2**20)
    before = memory.resident()
    monkeypatch.setattr(memory, "_settled", before)
    blocks, stays = [], []
    for _ in range(3000):
        blocks.append(bytearray(b"x") * 60_000)
        stays.append(bytearray(b"x") * 1_000)
    full = memory.resident()
    assert full - before > 50 * 10**6
    blocks.clear()
    assert memory.resident() - before > 50 * 10**6
    memory.settle()
    assert memory.resident() < full - 40 * 10**6
    assert len(stays) == 3000
