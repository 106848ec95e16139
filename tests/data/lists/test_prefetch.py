"""A thread that works ahead: order, errors in their place, and an end whenever the taker stops."""

import gc
import threading
import time
import weakref

import pytest

from ltr.data.lists.prefetch import prefetched


def alive():
    return [thread for thread in threading.enumerate() if thread.name == "ltr-ahead"]


def test_all_items_in_order():
    assert list(prefetched(iter(range(100)))) == list(range(100))
    assert list(prefetched([None, None])) == [None, None]
    assert list(prefetched([])) == []
    assert not alive()


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        raise ValueError("the second item")

    found = prefetched(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="the second item") as caught:
        next(found)
    assert "in items" in str(caught.getrepr()), "the traceback leads to where it happened"
    assert not alive()


def test_an_interruption_inside_the_thread_reaches_the_taker():
    def items():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        next(prefetched(items()))


def test_works_so_far_ahead_and_no_further():
    made = []

    def items():
        for i in range(50):
            made.append(i)
            yield i

    found = prefetched(items(), depth=3)
    assert not made, "nothing happens before the first request"
    assert next(found) == 0
    deadline = time.monotonic() + 10
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.15)
    assert len(made) == 5  # one taken, three waiting, one that finds no room
    found.close()
    assert not alive()


def test_whoever_stops_early_ends_the_thread():
    for i in prefetched(range(10**9)):
        if i == 3:
            break
    deadline = time.monotonic() + 10
    while alive() and time.monotonic() < deadline:  # a generator is closed when nobody holds it
        time.sleep(0.01)
    assert not alive()


def test_the_garbage_collector_may_close_it_in_its_own_thread(monkeypatch):
    class Held:
        pass

    def items():
        while True:
            gc.collect()
            yield 1

    wrong, closed = [], threading.Event()
    monkeypatch.setattr("sys.unraisablehook", lambda told: wrong.append(told.exc_value))
    held = Held()
    held.items, held.itself = prefetched(items()), held  # a ring: only the collector finds it
    weakref.finalize(held, closed.set)
    gc.disable()
    try:
        next(held.items)
        del held
        assert closed.wait(10), "collected by the thread"
    finally:
        gc.enable()
    deadline = time.monotonic() + 10
    while alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive()
    assert not wrong


def test_an_error_that_nobody_waits_for_holds_nobody_up():
    """The queue is full when the error comes, and the taker stops then."""
    failing = threading.Event()

    def items():
        yield 1
        yield 2
        failing.wait(10)
        raise ValueError("late")

    found = prefetched(items(), depth=1)
    assert next(found) == 1
    failing.set()
    time.sleep(0.05)
    closing = threading.Thread(target=found.close, daemon=True)
    closing.start()
    closing.join(5)
    assert not closing.is_alive()


def test_the_callers_work_runs_beside_the_threads():
    threads = set()

    def items():
        for _ in range(3):
            threads.add(threading.current_thread().name)
            yield 1

    list(prefetched(items()))
    assert threads == {"ltr-ahead"}
