import threading

import pytest
import torch

from ltr.machine import threads
from ltr.machine.threads import alone, in_threads, threads_for, workers


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as machine:
        machine.setattr(threads, "cores", lambda: 4)
        torch.set_num_threads(4)
        yield
    torch.set_num_threads(before)


def test_pieces_run_side_by_side_and_keep_their_order(four_threads):
    meeting = threading.Barrier(2, timeout=10)  # one alone would wait in vain

    def work(piece: int) -> tuple[int, int]:
        meeting.wait()
        return piece, torch.get_num_threads()

    assert in_threads(work, [3, 1, 2, 0], 2) == [(3, 2), (1, 2), (2, 2), (0, 2)]


def test_torch_has_its_threads_again_afterwards(four_threads):
    in_threads(lambda piece: None, [1, 2, 3, 4], 4)
    assert torch.get_num_threads() == 4
    later = []
    started = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    started.start()
    started.join()
    assert later == [4]


def test_threads_that_start_meanwhile_have_all_of_torchs(four_threads):
    later = []

    def work(piece: int) -> None:
        started = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        started.start()
        started.join()

    in_threads(work, [1, 2, 3], 2)
    assert later == [4, 4, 4]


def test_no_more_threads_than_pieces_are_started(four_threads):
    assert in_threads(lambda piece: torch.get_num_threads(), [1, 2], 4) == [2, 2]


def test_threads_that_cannot_start_leave_nobody_waiting(four_threads, monkeypatch):
    pool = threads.ThreadPoolExecutor
    true = pool.submit

    def submit(self, work, *args):
        if self._threads:
            raise RuntimeError("can't start new thread")
        return true(self, work, *args)

    monkeypatch.setattr(pool, "submit", submit)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        in_threads(lambda piece: None, [1, 2], 2)
    assert torch.get_num_threads() == 4


def test_what_fails_in_a_thread_fails_here(four_threads):
    def work(piece: int) -> None:
        raise ValueError(f"piece {piece}")

    with pytest.raises(ValueError, match="piece 7"):
        in_threads(work, [7, 8, 9], 2)
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("pieces", "number"), [([1], 4), ([1, 2], 1)])
def test_nothing_is_started_for_a_single_piece_or_thread(four_threads, pieces, number):
    assert set(in_threads(lambda piece: threading.get_ident(), pieces, number)) == {threading.get_ident()}


def test_few_tokens_are_not_shared_out(four_threads):
    assert [threads_for(n) for n in (0, 2 * threads.LEAST - 1, 2 * threads.LEAST, 3 * threads.LEAST, 10**6)] == [
        1,
        1,
        2,
        3,
        4,
    ]


def test_nothing_of_the_process_is_set_meanwhile(four_threads, monkeypatch):
    threads._separable()  # which is tried once

    def fail(number: int) -> None:
        raise AssertionError("this is where threads begin that start later, in a server for example")

    monkeypatch.setattr(torch, "set_num_threads", fail)
    later = []

    def ask() -> None:
        later.append(torch.get_num_threads())

    def work(piece: int) -> int:
        one = threading.Thread(target=ask)
        one.start()
        one.join()
        return torch.get_num_threads()

    assert in_threads(work, [1, 2, 3, 4], 4) == [1, 1, 1, 1]
    assert later == [4, 4, 4, 4]


def test_the_matrix_library_takes_no_more_threads_than_the_rest(four_threads):
    def mkl(piece: int) -> str:
        return next(line for line in torch.__config__.parallel_info().splitlines() if "mkl_get_max" in line)

    if not torch.backends.mkl.is_available():
        pytest.skip("torch has no MKL here")
    assert [line.split(":")[1].strip() for line in in_threads(mkl, [1, 2], 2)] == ["2", "2"]


def test_threads_that_cannot_have_numbers_of_their_own_are_not_started(four_threads, monkeypatch):
    monkeypatch.setattr(threads, "_setters", lambda: ())
    threads._separable.cache_clear()
    try:
        here = threading.get_ident()
        assert in_threads(lambda piece: (piece, threading.get_ident(), torch.get_num_threads()), [1, 2], 2) == [
            (1, here, 4),
            (2, here, 4),
        ]
    finally:
        threads._separable.cache_clear()


def test_only_a_thread_that_went_through_a_fork_hands_its_work_on(monkeypatch):
    assert threads.unforked(threading.get_ident) == threading.get_ident()
    monkeypatch.setattr(threads, "_forked", threading.get_ident())
    assert threads.unforked(threading.get_ident) != threading.get_ident()


def test_no_more_compute_at_once_than_there_are_cores(four_threads, monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 3)
    assert workers() == 3
    assert in_threads(lambda piece: torch.get_num_threads(), [1, 2, 3], 3) == [1, 1, 1]
    monkeypatch.setattr(threads, "cores", lambda: 99)
    assert workers() == 4


def test_a_thread_that_computes_alone_leaves_the_others_to_workers(four_threads):
    with alone():
        assert torch.get_num_threads() == 1
        with alone():  # and nothing more
            assert (torch.get_num_threads(), workers()) == (1, 4)
        assert (torch.get_num_threads(), workers()) == (1, 4)
        assert in_threads(lambda piece: (torch.get_num_threads(), workers()), [1, 2], 2) == [(2, 2), (2, 2)]
    assert torch.get_num_threads() == 4
    with pytest.raises(ValueError, match="in vain"), alone():
        raise ValueError("in vain")
    assert torch.get_num_threads() == 4


def test_where_threads_have_no_numbers_of_their_own_all_of_torchs_compute(four_threads, monkeypatch):
    monkeypatch.setattr(threads, "_separable", lambda: False)
    with alone():
        assert torch.get_num_threads() == 4
