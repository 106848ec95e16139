"""A thread that works ahead: order, errors in their place, and an end whenever the taker stops."""

import threading
import time

import pytest

from ltr.data.ahead import ahead


def alive():
    return [thread for thread in threading.enumerate() if thread.name == "ltr-ahead"]


def test_all_items_in_order():
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert list(ahead([None, None])) == [None, None]
    assert list(ahead([])) == []
    assert not alive()


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        raise ValueError("the second item")

    found = ahead(items())
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
        next(ahead(items()))


def test_works_so_far_ahead_and_no_further():
    made = []

    def items():
        for i in range(50):
            made.append(i)
            yield i

    found = ahead(items(), depth=3)
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
    for i in ahead(range(10**9)):
        if i == 3:
            break
    deadline = time.monotonic() + 10
    while alive() and time.monotonic() < deadline:  # a generator is closed when nobody holds it
        time.sleep(0.01)
    assert not alive()


def test_the_callers_work_runs_beside_the_threads():
    threads = set()

    def items():
        for _ in range(3):
            threads.add(threading.current_thread().name)
            yield 1

    list(ahead(items()))
    assert threads == {"ltr-ahead"}
