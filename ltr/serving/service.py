"""The server without HTTP: bodies in, bodies out."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ltr.errors import LtrError
from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.dialects.choice import Choice
from ltr.serving.keys import Keys
from ltr.serving.limits import Limits
from ltr.serving.observed import Metrics
from ltr.serving.problems import Problem
from ltr.serving.request import Result
from ltr.serving.work.engine import Engine
from ltr.serving.work.models import Model, Models
from ltr.serving.work.order import Job
from ltr.serving.work.warming import warm_up

log = logging.getLogger(__name__)

#: threads that read bodies and tokenise
READERS = 2


@dataclass
class Prepared:
    """A body that was understood and tokenised.

    Attributes:
        dialect, asked, model, job: what it is in, what it asks for, of whom, and what is to be computed.
        tokenising: seconds that it took.
    """

    dialect: Dialect
    asked: Asked
    model: Model
    job: Job
    tokenising: float


@dataclass
class Service:
    """Everything that answers.

    Attributes:
        models, engine, limits, keys, metrics: its parts.
        draining: it answers what comes, and asks to be left alone.
    """

    models: Models
    engine: Engine
    limits: Limits
    keys: Keys
    metrics: Metrics = field(init=False)
    draining: bool = False

    def __post_init__(self) -> None:
        self.metrics = Metrics(lambda: self.engine.queued)
        self.engine.noted = self.metrics.step
        self._readers = ThreadPoolExecutor(READERS, "ltr-read")
        self._loading = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return bool(self.models.held) and not self.draining

    def load(self) -> None:
        """Open the models and the keys anew, beside those that serve. Raises LtrError, and what served goes on."""
        with self._loading:
            self.keys.reload()
            self.models.load()
            self.metrics.models({m.name: (m.folder, m.precision) for m in self.models.held.values()})

    def reload(self) -> None:
        """``load``, with a line of the log in place of an error."""
        try:
            self.load()
        except LtrError as error:
            log.error("serve: nothing was exchanged, what served before goes on: %s", error)
        else:
            log.info("serve: exchanged: %s", ", ".join(self.models.held))

    def close(self) -> None:
        """End all threads."""
        self._readers.shutdown(cancel_futures=True)
        self.engine.close()

    async def answer(
        self, choice: Choice, body: bytes, deadline: float | None, gone: Callable[[], Awaitable[None]]
    ) -> tuple[Dialect, Answer]:
        """The answer to a body, and the dialect to write it in.

        Args:
            choice: the dialects of the address.
            body: as it came.
            deadline: time (``time.monotonic``) after which nobody wants the answer.
            gone: returns when the client leaves.

        Raises:
            Refused: what the dialect tells in its own words.
        """
        loop = asyncio.get_running_loop()
        prepared = await loop.run_in_executor(self._readers, self._prepared, choice, body, deadline)
        with telling(prepared.dialect):
            scores = await self._scores(prepared.job, deadline, gone)
            return prepared.dialect, Answer.of(prepared.asked, _result(prepared, scores))

    def _prepared(self, choice: Choice, body: bytes, deadline: float | None) -> Prepared:
        with telling(choice.usual):
            fields = parsed(body)
        dialect = choice.of(fields)
        with telling(dialect):
            asked = dialect.read(fields)
            self.limits.check(asked.request)
            model = self.models.get(asked.request.model)
            self.engine.check(deadline)  # before anything is spent on it
            started = time.perf_counter()
            encoded = model.reading(asked.request)
            self.limits.check_tokens(int(encoded.costs.sum()))
            job = Job(model, encoded, asked.request.priority, deadline)
            return Prepared(dialect, asked, model, job, time.perf_counter() - started)

    async def _scores(self, job: Job, deadline: float | None, gone: Callable[[], Awaitable[None]]) -> np.ndarray:
        """What the engine says, unless the client leaves or its time is over before."""
        if not job.costs:
            return np.zeros(0, np.float32)
        self.engine.submit(job)
        answer: asyncio.Future[Any] = asyncio.wrap_future(job.future)
        leaving: asyncio.Future[Any] = asyncio.ensure_future(gone())
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            await asyncio.wait([answer, leaving], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if leaving.done():
                raise Problem("gone", "the client left before its answer was there")
            raise Problem(
                "deadline", "the deadline that the request gave has passed; give more time, or fewer documents"
            )
        finally:
            answer.cancel()  # what is not computed yet is not computed any more
            leaving.cancel()


class Refused(Exception):
    """A problem, and the dialect that it is told in."""

    def __init__(self, dialect: Dialect, problem: Problem):
        super().__init__(problem.text)
        self.dialect, self.problem = dialect, problem


class telling:
    """Turns problems inside into what a dialect tells; what nobody thought of becomes an internal problem."""

    def __init__(self, dialect: Dialect):
        self.dialect = dialect

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Problem):
            raise Refused(self.dialect, error) from error
        if isinstance(error, Exception) and not isinstance(error, Refused):
            log.error("serve: a request failed", exc_info=error)
            raise Refused(
                self.dialect,
                Problem("internal", f"the server failed ({type(error).__name__}); its log says why"),
            ) from error


def parsed(body: bytes) -> Body:
    """The object in a body. Raises Problem for anything else."""
    try:
        found: Json = json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise Problem("syntax", "the body is nested too deeply; send one JSON object with plain fields") from None
    except (ValueError, UnicodeDecodeError):  # their texts repeat the body
        raise Problem(
            "syntax", 'the body must be JSON in UTF-8, such as {"query": "...", "documents": ["..."]}'
        ) from None
    if not isinstance(found, Mapping):
        raise Problem("syntax", 'the body must be a JSON object, such as {"query": "...", "documents": ["..."]}')
    return found


def _no_number(name: str) -> Json:
    raise ValueError(name)


def _result(prepared: Prepared, scores: np.ndarray) -> Result:
    job, now = prepared.job, time.monotonic()
    started = job.started or now
    return Result(
        model=prepared.model.name,
        scores=scores,
        probabilities=prepared.model.probability(scores),
        tokens=sum(job.costs),
        cut=job.encoded.cut,
        cut_queries=job.encoded.cut_queries,
        max_query_length=prepared.model.settings.max_query_length,
        tokenising=prepared.tokenising,
        queueing=started - job.arrived,
        computing=now - started,
        weight=prepared.model.settings.interpolation,
    )


def service_of(models: Mapping[str, str], opened: Callable, engine: Engine, limits: Limits, keys: Keys) -> Service:
    """A service of models that are not loaded yet."""
    return Service(Models(models, opened, lambda model: warm_up(engine, model)), engine, limits, keys)
