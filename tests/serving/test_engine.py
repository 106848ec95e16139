"""The engine: slices of many requests, one answer each, and nothing that goes wrong harms anybody else."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from ltr.inference.reranker import Reranker
from ltr.serving.problems import Problem
from ltr.serving.request import Request
from ltr.serving.work.admission import Admission, Pace
from ltr.serving.work.engine import Engine, devices
from ltr.serving.work.models import Model
from ltr.serving.work.order import Job, Waiting
from tests.serving.conftest import opened

WORDS = ["read", "write", "a", "file", "open", "close", "the", "list", "sort", "number", "text", "join", "two", "paths"]


def texts_of(n: int, seed: int) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(WORDS, rng.integers(1, 40))) for _ in range(n))


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.of("demo", str(folder), opened(str(folder)))


@pytest.fixture
def engine():
    made = Engine("cpu", 2, slice_tokens=300)
    yield made
    made.close()


def job_of(model: Model, n: int, seed: int = 0, **more) -> Job:
    return Job(model, model.reading(Request(("join two paths",), (texts_of(n, seed),))), **more)


def expected(reranker: Reranker, n: int, seed: int) -> np.ndarray:
    return reranker.score([("join two paths", text) for text in texts_of(n, seed)])


def test_scores_are_the_rerankers_alone_and_packed_with_others(engine, model, reranker):
    """Fifty requests at once, in slices that many of them share."""
    sizes = [1, 2, 5, 20, 40] * 10
    steps = []
    engine.noted = steps.append
    jobs = [job_of(model, n, seed) for seed, n in enumerate(sizes)]
    for job in jobs:
        engine.submit(job)
    for seed, (job, n) in enumerate(zip(jobs, sizes, strict=True)):
        np.testing.assert_allclose(job.future.result(20), expected(reranker, n, seed), atol=1e-6)
    assert engine.queued == 0
    assert max(step.requests for step in steps) > 2
    assert max(step.tokens for step in steps) <= 300
    assert sum(step.tokens for step in steps) == sum(sum(job.costs) for job in jobs)


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_documents_in_passages(engine, folder, pooling):
    reranker = Reranker.load(folder, "cpu", "32", passages=pooling, max_passages=3)
    own = Model.of("demo", str(folder), [reranker])
    texts = tuple("join the paths and read " * n for n in (1, 30, 3, 12, 0))
    encoded = own.reading(Request(("join two paths",), (texts,)))
    job = Job(own, encoded)
    engine.submit(job)
    wanted = reranker.score([("join two paths", text) for text in texts])
    np.testing.assert_allclose(job.future.result(20), wanted, atol=1e-6)
    assert encoded.cut.tolist() == [False, True, False, False, False]
    assert encoded.costs[1] > 3 * encoded.costs[2]


def test_idle_workers_share_one_request(model):
    steps = []
    both = threading.Barrier(2, timeout=10)

    class Meeting(torch.nn.Module):
        """Two threads meet in it, or it fails."""

        def __init__(self, scorer):
            super().__init__()
            self.scorer = scorer

        def forward(self, batch):
            both.wait()
            return self.scorer(batch)

    engine = Engine("cpu", 2, noted=steps.append)
    shared = Model("two", "", (Meeting(model.scorers[0]),), model.settings, model.reading, model.probability, "float32")
    time.sleep(0.05)  # until both wait
    job = job_of(shared, 60)
    engine.submit(job)
    job.future.result(20)
    engine.close()
    assert len(steps) == 2
    assert max(step.tokens for step in steps) < 0.6 * sum(job.costs)


class Doubtful(torch.nn.Module):
    """Scores as another does, and fails where a token is in the batch."""

    def __init__(self, scorer, token: int, error: Exception, fewer: bool = False):
        super().__init__()
        self.scorer, self.token, self.error, self.fewer = scorer, token, error, fewer
        self.tried: list[int | None] = []

    def forward(self, batch, tokens=None):
        self.tried.append(tokens)
        if batch.tokens.ids.eq(self.token).any() and (tokens is None or tokens > 100 or not self.fewer):
            raise self.error
        return self.scorer(batch)

    def fewer_tokens(self, tokens=None):
        return (tokens or 400) // 2 if self.fewer and (tokens or 400) > 100 else None


def doubtful(model: Model, error: Exception, fewer: bool = False) -> tuple[Model, Doubtful]:
    guilty = model.reading.encoder.tokenizer.convert_tokens_to_ids("python")
    scorer = Doubtful(model.scorers[0], guilty, error, fewer)
    return Model("d", "", (scorer,), model.settings, model.reading, model.probability, "float32"), scorer


def guilty_of(model: Model) -> Job:
    return Job(model, model.reading(Request(("q",), (("python", "a list"),))))


@pytest.mark.parametrize("error", [ValueError("bad"), RuntimeError("device"), KeyError("x")], ids=repr)
def test_only_the_guilty_request_fails(engine, model, reranker, error):
    own, _ = doubtful(model, error)
    jobs = [job_of(own, 3, seed) for seed in range(6)]
    bad = guilty_of(own)
    for job in [*jobs[:3], bad, *jobs[3:]]:
        engine.submit(job)
    with pytest.raises(Problem, match=f"the server failed \\({type(error).__name__}\\)"):
        bad.future.result(20)
    for seed, job in enumerate(jobs):
        np.testing.assert_allclose(job.future.result(20), expected(reranker, 3, seed), atol=1e-6)


def test_freed_memory_is_looked_after_after_each_step(engine, model, monkeypatch):
    asked = []
    monkeypatch.setattr("ltr.serving.work.engine.settle", lambda: asked.append(1))
    steps = []
    engine.noted = steps.append
    job = job_of(model, 40)
    engine.submit(job)
    job.future.result(20)
    engine.close()
    assert len(asked) == len(steps) > 1


def test_a_worker_survives_whatever_fails(engine, model):
    own, _ = doubtful(model, SystemExit("out"))  # type: ignore[arg-type]
    for _ in range(4):
        bad = guilty_of(own)
        engine.submit(bad)
        with pytest.raises(Problem, match="the server failed"):
            bad.future.result(20)
    fine = job_of(model, 3)
    engine.submit(fine)
    assert len(fine.future.result(20)) == 3


def test_a_memory_shortage_shrinks_that_step_only(engine, model, reranker):
    own, scorer = doubtful(model, torch.OutOfMemoryError("CUDA out of memory"), fewer=True)
    bad = guilty_of(own)
    engine.submit(bad)
    np.testing.assert_allclose(bad.future.result(20), reranker.score([("q", "python"), ("q", "a list")]), atol=1e-6)
    assert scorer.tried == [None, 200, 100]
    after = job_of(own, 3, 1)
    engine.submit(after)
    after.future.result(20)
    assert scorer.tried[3:] == [None]


def test_memory_that_holds_nothing(engine, model):
    own, _ = doubtful(model, MemoryError())
    bad = guilty_of(own)
    engine.submit(bad)
    with pytest.raises(Problem, match="memory does not hold even a few documents at once") as caught:
        bad.future.result(20)
    assert caught.value.status == 503


def test_nan_fails_its_own_request(engine, model):
    own, scorer = doubtful(model, ValueError())
    scorer.forward = lambda batch: model.scorers[0](batch).masked_fill(_has(batch, scorer.token), torch.nan)  # type: ignore
    jobs = [job_of(own, 3, seed) for seed in range(4)]
    bad = guilty_of(own)
    for job in [*jobs, bad]:
        engine.submit(job)
    with pytest.raises(Problem, match="the model's score of document 0 is not a finite number"):
        bad.future.result(20)
    assert all(np.isfinite(job.future.result(20)).all() for job in jobs)


def _has(batch, token: int) -> torch.Tensor:
    rows = torch.repeat_interleave(torch.arange(batch.n_rows), batch.lengths)
    return torch.zeros(1, batch.n_rows, dtype=torch.bool).index_fill(1, rows[batch.tokens.ids.eq(token)], True)


def test_what_nobody_wants_is_dropped(model):
    engine = Engine("cpu", 1, slice_tokens=50)
    seen = []
    engine.noted = lambda step: (seen.append(step), time.sleep(0.01))
    left = job_of(model, 200)
    engine.submit(left)
    while not seen:
        time.sleep(0.001)
    left.future.cancel()
    assert engine.queued < 150
    after = job_of(model, 2)
    engine.submit(after)
    after.future.result(20)
    engine.close()
    assert sum(step.tokens for step in seen) < sum(left.costs) / 2


def test_a_deadline_that_passes_in_the_queue(model):
    waiting = Waiting(30)
    late, fine = job_of(model, 2, deadline=time.monotonic() - 1), job_of(model, 2, deadline=time.monotonic() + 60)
    waiting.add(late)
    waiting.add(fine)
    assert [part.job for part in waiting.take(1000, time.monotonic(), 1e-4)] == [fine]
    with pytest.raises(Problem, match="the deadline that the request gave has passed"):
        late.future.result(0)


def test_the_highest_response_ratio_goes_first(model):
    waiting = Waiting(patience=30)
    now = time.monotonic()
    long, short = job_of(model, 40), job_of(model, 2)
    long.arrived, short.arrived = now - 3, now - 1
    waiting.add(long)
    waiting.add(short)
    first, second = waiting.take(200, now, 0.001)
    assert (first.job, second.job) == (short, long)  # and the rest of the slice is filled up
    assert first.tokens + second.tokens <= 200
    waiting.add(other := job_of(model, 2))
    other.arrived = now
    assert waiting.take(200, now + 0.001, 0.001)[0].job is long  # which has waited longer, for what is left of it
    long.arrived = now - 31
    other.arrived = now - 30.5
    assert [part.job for part in waiting.take(10**6, now, 0.001)] == [long, other]  # who waits too long, by arrival
    assert len(waiting) == 0


def test_priority_goes_before_everything_else(model):
    waiting = Waiting(30)
    jobs = [job_of(model, 2, priority=n) for n in (2, 0, 1, -1)]
    jobs[0].arrived -= 100
    for job in jobs:
        waiting.add(job)
    order = [part.job.priority for part in waiting.take(10**6, time.monotonic(), 1e-4)]
    assert order == [-1, 0, 1, 2]


def test_a_slice_is_of_one_model(model, other_folder, engine, reranker):
    other = Model.of("other", str(other_folder), opened(str(other_folder)))
    waiting = Waiting(30)
    for own in (model, other, model, other):
        waiting.add(job_of(own, 2))
    assert len({part.job.model for part in waiting.take(10**6, time.monotonic(), 1e-4)}) == 1
    one, two = job_of(model, 5, 1), job_of(other, 5, 1)
    engine.submit(one)
    engine.submit(two)
    assert not np.allclose(one.future.result(20), two.future.result(20))


def test_a_document_larger_than_a_slice_is_a_slice(model):
    waiting = Waiting(30)
    waiting.add(job_of(model, 3))
    taken = [waiting.take(1, time.monotonic(), 1e-4) for _ in range(4)]
    assert [len(parts) for parts in taken] == [1, 1, 1, 0]


def test_admission_is_by_estimated_wait():
    pace = Pace()
    admission = Admission(max_wait=10, pace=pace, workers=2)
    admission.check(10**9)  # nothing is known yet
    pace.add(tokens=1000, seconds=1)
    assert admission.wait(30_000) == 15
    admission.check(20_000)
    with pytest.raises(
        Problem, match=r"busy for 15\.0 s, and lets nobody wait longer than 10 s; try again after 10 s"
    ) as caught:
        admission.check(30_000)
    assert caught.value.retry_after == 10
    with pytest.raises(
        Problem, match=r"busy for 5\.0 s, and the request gave 2\.0 s; give more time, or try again after 3 s"
    ):
        admission.check(10_000, seconds_left=2)
    admission.check(0, seconds_left=0.001)  # an idle server tries


def test_an_overloaded_engine_refuses_and_an_idle_one_takes_anything(model):
    engine = Engine("cpu", 1, max_wait=0.0, slice_tokens=60)
    engine.pace.add(1, 1.0)
    first = job_of(model, 100)
    engine.submit(first)
    with pytest.raises(Problem, match="the server is busy"):
        engine.submit(job_of(model, 1))
    first.future.result(20)
    engine.close()


def test_the_pace_holds_what_passes_between_slices(model):
    """Else those who queue would wait longer than they are told, and be let in where they should not be."""
    engine = Engine("cpu", 1, max_wait=60.0, slice_tokens=60)
    slices = []
    engine.noted = lambda step: (slices.append(step), time.sleep(0.02))
    engine.submit(job := job_of(model, 100))
    job.future.result(20)
    engine.close()
    computed = sum(step.seconds for step in slices)
    tokens = sum(step.tokens for step in slices)
    assert len(slices) > 5
    assert engine.pace.seconds_per_token * tokens > computed + 0.7 * 0.02 * (len(slices) - 1)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit("out")], ids=repr)
def test_time_that_failed_requests_took_is_not_put_on_the_next(error, model):
    """Else a row of failures would make the server refuse requests that it has time for."""
    engine = Engine("cpu", 1, slice_tokens=20)
    own, scorer = doubtful(model, error)
    scorer.register_forward_pre_hook(lambda *_: time.sleep(0.05))
    steps = []
    engine.noted = steps.append
    engine.submit(first := job_of(own, 1))
    first.future.result(20)
    jobs = [guilty_of(own) for _ in range(10)]
    fine = job_of(own, 1, priority=1)
    with engine._changed:  # so that the worker never stands idle between them
        for job in [*jobs, fine]:
            engine._waiting.add(job)
        engine._changed.notify_all()
    fine.future.result(20)
    engine.close()
    assert all(job.future.exception() for job in jobs)
    assert engine.pace._seconds < sum(step.seconds for step in steps) + 0.25


def test_the_pace_follows_the_machine():
    pace = Pace()
    for _ in range(100):
        pace.add(100, 1.0)
    for _ in range(100):
        pace.add(100, 2.0)
    assert pace.seconds_per_token == pytest.approx(0.02, rel=0.01)


def test_devices():
    assert devices("cpu") == ["cpu"]
    assert devices("auto") == (["cpu"] if not torch.cuda.is_available() else devices("cuda"))


def test_at_the_end_nobody_waits_for_ever(model):
    engine = Engine("cpu", 1, slice_tokens=10)
    engine.noted = lambda step: time.sleep(0.05)
    jobs = [job_of(model, 50) for _ in range(3)]
    for job in jobs:
        engine.submit(job)
    engine.close()
    for job in jobs:
        with pytest.raises(Problem, match="the server is ending; ask another one") as caught:
            job.future.result(0)
        assert caught.value.status == 503
    with pytest.raises(Problem, match="the server is ending"):
        engine.submit(job_of(model, 1))
