"""Which work is done next: the highest response ratio first, in slices that any number of requests fill."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import NamedTuple

import numpy as np

from ltr.serving.problems import Problem
from ltr.serving.work.models import Model
from ltr.serving.work.reading import Encoded


class Job:
    """The documents of a request that are still to be scored.

    Args:
        model: what scores them.
        encoded: the request in tokens.
        priority: smaller is earlier, whatever waits longer.
        deadline: time (``time.monotonic``) after which nobody wants the answer; None for never.

    Attributes:
        future: the scores [documents] float32, or what went wrong; whoever waits cancels it when the client leaves.
        left: tokens that nobody computes yet.
        started: when its first document was taken; None before.
    """

    def __init__(self, model: Model, encoded: Encoded, priority: int = 0, deadline: float | None = None):
        self.model, self.encoded, self.priority, self.deadline = model, encoded, priority, deadline
        self.future: Future[np.ndarray] = Future()
        self.costs: list[int] = encoded.costs.tolist()
        self.left = sum(self.costs)
        self.arrived = time.monotonic()
        self.started: float | None = None
        # the shortest are taken first, from the end; those of equal length in the order of the input
        self._order = sorted(range(len(self.costs)), key=lambda doc: (-self.costs[doc], -doc))
        self._scores = np.zeros(len(self.costs), np.float32)
        self._missing = len(self.costs)
        self._lock = threading.Lock()

    @property
    def waits(self) -> bool:
        """Whether documents are left that nobody computes yet, and somebody wants them."""
        return bool(self._order) and not self.future.done()

    def take(self, room: int, one_at_least: bool) -> list[int]:
        """Documents that together have at most ``room`` tokens; their number is taken off what is left."""
        taken: list[int] = []
        while self._order and (self.costs[self._order[-1]] <= room or (one_at_least and not taken)):
            doc = self._order.pop()
            room -= self.costs[doc]
            self.left -= self.costs[doc]
            taken.append(doc)
        return taken

    def give(self, docs: list[int], scores: np.ndarray) -> None:
        """Note scores; the last of them answers the request. One that is not finite fails it."""
        if not np.isfinite(scores).all():
            at = docs[int(np.flatnonzero(~np.isfinite(scores))[0])]
            self.fail(
                Problem(
                    "scores",
                    f"the model's score of document {at} is not a finite number: the model was damaged in training, or "
                    "overflows in this precision; serve it with --precision 32, or serve another model",
                )
            )
            return
        with self._lock:
            self._scores[docs] = scores
            self._missing -= len(docs)
            last = not self._missing
        if last:
            _settle(self.future, self._scores)

    def fail(self, problem: Exception) -> None:
        """Answer the request with what went wrong."""
        _settle(self.future, problem)


def _settle(future: Future, outcome: np.ndarray | Exception) -> None:
    try:
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
    except InvalidStateError:  # the client left, or another part of the request failed before
        pass


class Part(NamedTuple):
    """Some documents of a job."""

    job: Job
    docs: list[int]

    @property
    def tokens(self) -> int:
        """Of its documents."""
        return sum(self.job.costs[doc] for doc in self.docs)


class Waiting:
    """The jobs that have documents left. Not for several threads at once.

    The response ratio of a job is (waited + service) / service, where service is the time that the rest of it takes: short
    requests go first, and long ones do not wait for ever. A job that has waited for ``patience`` goes before all others, so
    that no stream of short ones can hold it up any longer.

    Args:
        patience: seconds.
    """

    def __init__(self, patience: float):
        self.patience = patience
        self._jobs: list[Job] = []

    @property
    def tokens(self) -> int:
        """Tokens that nobody computes yet."""
        return sum(job.left for job in self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self._jobs.append(job)

    def refuse(self, problem: Problem) -> None:
        """Answer all of them with a problem."""
        for job in self._jobs:
            job.fail(problem)
        self._jobs = []

    def clear(self, now: float) -> None:
        """Let go of jobs that are done, that nobody wants any more, or whose deadline has passed."""
        for job in self._jobs:
            if job.deadline is not None and job.deadline < now and not job.future.done():
                job.fail(
                    Problem(
                        "deadline", "the deadline that the request gave has passed; give more time, or fewer documents"
                    )
                )
        self._jobs = [job for job in self._jobs if job.waits]

    def take(self, budget: int, now: float, seconds_per_token: float) -> list[Part]:
        """The next slice: documents of one model with about ``budget`` tokens, at least one; empty where nothing waits."""
        self.clear(now)
        in_order = sorted(self._jobs, key=lambda job: self._place(job, now, seconds_per_token))
        parts: list[Part] = []
        room = budget
        for job in in_order:
            if job.model is not in_order[0].model:
                continue
            docs = job.take(room, not parts)
            if not docs:
                break  # what is more urgent shall not wait for what is smaller
            if job.started is None:
                job.started = now
            parts.append(Part(job, docs))
            room -= parts[-1].tokens
        self._jobs = [job for job in self._jobs if job.waits]
        return parts

    def _place(self, job: Job, now: float, seconds_per_token: float) -> tuple[int, float]:
        waited = now - job.arrived
        if waited > self.patience:
            return job.priority, -1e12 * waited
        return job.priority, -(waited / max(job.left * seconds_per_token, 1e-9))
