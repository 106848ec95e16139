"""What computes: one thread for each core or GPU, which takes slices of whatever waits and survives whatever fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ltr.batch import TextLists, TokenRows
from ltr.machine.cores import physical_cores
from ltr.machine.freed_memory import settle
from ltr.machine.threads import use_threads
from ltr.scorers.out_of_memory import is_out_of_memory, released
from ltr.serving.problems import Problem
from ltr.serving.work.admission import Admission, Pace
from ltr.serving.work.order import Job, Part, Waiting

log = logging.getLogger(__name__)

#: tokens of a slice: enough that the fixed cost of a step is small, few enough that nobody waits long for a worker
SLICE = {"cpu": 3072, "cuda": 24576}
#: where workers stand idle, what waits is shared out among them, down to so many tokens for each
LEAST = 256


def devices(name: str) -> list[str]:
    """The devices that are computed on: every GPU for ``cuda``, and for ``auto`` where there is one.

    >>> devices("cpu"), devices("cuda:1")
    (['cpu'], ['cuda:1'])
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or [name] if name == "cuda" else [name]


class Step(NamedTuple):
    """What a worker has computed at once, for whoever measures.

    Attributes:
        tokens: of all documents.
        seconds: that it took.
        requests: how many had a part in it.
    """

    tokens: int
    seconds: float
    requests: int


class Engine:
    """Scores the documents of jobs.

    Args:
        device: ``cpu`` or ``cuda``: how large slices are, and how many threads a worker's products use.
        workers: how many compute at once; None for one on each physical core, or on each GPU.
        max_wait: see ``Admission``; also how long a long request gives way to short ones.
        slice_tokens: tokens of a slice; None for what suits the device.
        noted: called after each step, from the worker's thread.
    """

    def __init__(
        self,
        device: str = "cpu",
        workers: int | None = None,
        max_wait: float = 30.0,
        slice_tokens: int | None = None,
        noted: Callable[[Step], None] = lambda step: None,
    ):
        alone = physical_cores() if device == "cpu" else max(1, torch.cuda.device_count())
        self.device, self.workers = device, workers or alone
        self.slice_tokens = slice_tokens or SLICE.get(device, SLICE["cuda"])
        self.pace = Pace()
        self.admission = Admission(max_wait, self.pace, self.workers)
        self.noted = noted
        self._waiting = Waiting(max_wait)
        self._changed = threading.Condition()
        self._idle = self._computing = 0
        self._ends = False
        #: for each worker, when it scored its last slice, or failed to, or was woken since
        self._since = [time.perf_counter()] * self.workers
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"ltr-serve-{number}", daemon=True)
            for number in range(self.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def queued(self) -> int:
        """Tokens that wait or are being computed."""
        with self._changed:
            return self._queued

    @property
    def _queued(self) -> int:
        self._waiting.clear(time.monotonic())
        return self._waiting.tokens + self._computing

    def check(self, deadline: float | None = None) -> None:
        """Raise Problem where a request that came now would wait too long."""
        with self._changed:
            self._check(deadline)

    def _check(self, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        self.admission.check(self._queued, left)

    def submit(self, job: Job, at_once: bool = False) -> None:
        """Let a job wait for its turn; ``at_once``: however long that is.

        Raises:
            Problem: it would wait too long, or the engine ends.
        """
        with self._changed:
            if self._ends:
                raise _ending()
            if not at_once:
                self._check(job.deadline)
            self._waiting.add(job)
            self._changed.notify_all()

    def close(self) -> None:
        """Let the workers end after what they compute; what waits is refused."""
        with self._changed:
            self._ends = True
            self._waiting.refuse(_ending())
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # ------------------------------------------------------------------ the workers' side

    def _work(self, number: int) -> None:
        if self.device == "cpu":
            use_threads(1)
        while parts := self._next(number):
            tokens = sum(part.tokens for part in parts)
            try:
                self._step(parts, number)
            except BaseException as error:  # whatever it is, the worker goes on
                log.exception("serve: a step failed in a way that nobody thought of")
                self._since[number] = time.perf_counter()
                for part in parts:
                    part.job.fail(_internal(error))
            finally:
                with self._changed:
                    self._computing -= tokens
            settle()

    def _next(self, number: int) -> list[Part]:
        """The next slice, as soon as there is one; empty at the end."""
        with self._changed:
            while not self._ends:
                now = time.monotonic()
                share = -(-self._waiting.tokens // (self._idle + 1))
                budget = min(self.slice_tokens, max(LEAST, share))
                if parts := self._waiting.take(budget, now, self.pace.seconds_per_token / self.workers):
                    self._computing += sum(part.tokens for part in parts)
                    return parts
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
                self._since[number] = time.perf_counter()
            return []

    def _step(self, parts: list[Part], number: int) -> None:
        """Compute a slice; where it fails, its halves, so that only the request fails that is the reason."""
        started = time.perf_counter()
        try:
            scores = self._scores(parts, number)
        except Exception as error:  # whatever a text or a model does: one request must not take the others along
            self._since[number] = time.perf_counter()  # what failed does not tell how long a token takes
            if len(parts) == 1:
                log.warning("serve: a request failed: %s: %.200s", type(error).__name__, error)
                parts[0].job.fail(error if isinstance(error, Problem) else _internal(error))
                return
            halves = parts[: len(parts) // 2], parts[len(parts) // 2 :]
        else:
            ended = time.perf_counter()
            step = Step(sum(part.tokens for part in parts), ended - started, len(parts))
            # those who queue wait also for all that a worker does, or waits for, between two slices
            self.pace.add(step.tokens, ended - self._since[number])
            self._since[number] = ended
            self.noted(step)
            start = 0
            for job, docs in parts:
                job.give(docs, scores[start : start + len(docs)])
                start += len(docs)
            return
        for half in halves:
            self._step(half, number)

    def _scores(self, parts: list[Part], number: int) -> np.ndarray:
        """[documents] of a slice, in the order of its parts; in smaller pieces where memory does not hold them."""
        scorers = parts[0].job.model.scorers
        scorer = scorers[number % len(scorers)]
        batch = joined(parts).to(next((p.device for p in scorer.parameters()), torch.device("cpu")))
        tokens: int | None = None
        while True:
            try:
                with torch.inference_mode():
                    scores: Tensor = scorer(batch) if tokens is None else scorer(batch, tokens)
                    return scores[0].float().cpu().numpy()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                tokens = scorer.fewer_tokens(tokens)
            if tokens is None:
                raise Problem(
                    "memory",
                    "memory does not hold even a few documents at once; try again later, or send shorter documents",
                    retry_after=5,
                )
            log.warning("serve: out of memory: this step goes on with %d tokens at once", tokens)
            released()


def joined(parts: Sequence[Part]) -> TextLists:
    """The documents of a slice as one list."""
    ids: list[Tensor] = []
    marks: list[Tensor] = []
    lengths: list[int] = []
    rows_of: list[int] = []
    for job, docs in parts:
        batch = job.encoded.batch
        starts = batch.tokens.offsets.tolist()
        rows = list(range(len(starts))) if batch.row_offsets is None else batch.row_offsets.tolist()
        for doc in docs:
            first, last = rows[doc], rows[doc + 1]
            ids.append(batch.tokens.ids[starts[first] : starts[last]])
            marks.append(batch.tokens.marks[starts[first] : starts[last]])
            lengths += [starts[row + 1] - starts[row] for row in range(first, last)]
            rows_of.append(last - first)
    tokens = TokenRows(torch.cat(ids), torch.cat(marks), _offsets(lengths))
    first_batch = parts[0].job.encoded.batch
    passages = None if first_batch.row_offsets is None else _offsets(rows_of)
    return TextLists(torch.tensor([0, len(rows_of)]), tokens=tokens, row_offsets=passages, pooling=first_batch.pooling)


def _offsets(lengths: Sequence[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


def _ending() -> Problem:
    return Problem("unready", "the server is ending; ask another one, or again in some seconds", retry_after=5)


def _internal(error: BaseException) -> Problem:
    return Problem(
        "internal",
        f"the server failed ({type(error).__name__}); its log says why; the same request may work again",
    )
