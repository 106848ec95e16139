"""What is seen from outside: metrics in Prometheus' form, and a line of the log for each request."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ltr.serving.work.engine import Step

log = logging.getLogger("ltr.serving.requests")

#: seconds, from a small request on an idle server to a large one on a busy one
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TOKENS = (64, 128, 256, 512, 1024, 2048, 3072, 4096, 8192, 16384, 32768)
#: W3C's header of distributed traces: version, trace, parent, flags
TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


@dataclass(frozen=True)
class Seen:
    """What is told of a request when it is over; no text of it.

    Attributes:
        path, dialect, model: where, in which words, by which model.
        code: the HTTP status.
        seconds: from its first byte to its answer.
        tokenising, queueing, computing: parts of them.
        documents, tokens, truncated: how many.
        reason: the kind of problem; empty for none.
        trace: the id of the trace that it belongs to, as the client said.
    """

    path: str
    dialect: str
    model: str
    code: int
    seconds: float
    tokenising: float = 0.0
    queueing: float = 0.0
    computing: float = 0.0
    documents: int = 0
    tokens: int = 0
    truncated: int = 0
    reason: str = ""
    trace: str = ""


class Metrics:
    """The counters of a server, in a registry of their own.

    Args:
        queued: tokens that wait now.
    """

    def __init__(self, queued: Callable[[], int]):
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "ltr_requests", "Requests by dialect and HTTP status", ["dialect", "code"], registry=own
        )
        self._seconds = Histogram(
            "ltr_request_seconds", "Seconds of a request", ["dialect"], buckets=SECONDS, registry=own
        )
        self._queue = Histogram(
            "ltr_queue_seconds", "Seconds until a request is computed", buckets=SECONDS, registry=own
        )
        self._step_seconds = Histogram("ltr_step_seconds", "Seconds of a step", buckets=SECONDS, registry=own)
        self._step_tokens = Histogram("ltr_step_tokens", "Tokens of a step", buckets=TOKENS, registry=own)
        self._documents = Counter("ltr_documents", "Documents that were scored", registry=own)
        self._truncated = Counter("ltr_truncated_documents", "Documents that were not read to their end", registry=own)
        self._rejected = Counter("ltr_rejected", "Requests that were refused or failed", ["reason"], registry=own)
        self._info = Gauge("ltr_model_info", "Models that are served", ["model", "folder", "precision"], registry=own)
        Gauge("ltr_queue_tokens", "Tokens that wait or are computed", registry=own).set_function(queued)

    def step(self, step: Step) -> None:
        """Count a step of the engine."""
        self._step_seconds.observe(step.seconds)
        self._step_tokens.observe(step.tokens)

    def request(self, seen: Seen) -> None:
        """Count a request."""
        self._requests.labels(seen.dialect, seen.code).inc()
        self._seconds.labels(seen.dialect).observe(seen.seconds)
        if seen.reason:
            self._rejected.labels(seen.reason).inc()
            return
        self._queue.observe(seen.queueing)
        self._documents.inc(seen.documents)
        self._truncated.inc(seen.truncated)

    def models(self, served: Mapping[str, tuple[str, str]]) -> None:
        """Tell which models are served: name -> (folder, precision)."""
        self._info.clear()
        for name, (folder, precision) in served.items():
            self._info.labels(name, folder, precision).set(1)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)


def trace_of(header: str | None) -> str:
    """The trace of a header ``traceparent``; empty where there is none, or where it is malformed.

    >>> trace_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    found = TRACE.fullmatch((header or "").strip())
    return found[1] if found else ""


def tell(seen: Seen, how: str) -> None:
    """A line of the log: ``json``, ``text``, or nothing for ``off``."""
    if how == "off":
        return
    if how == "json":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1000) % 1000:03d}Z"
        numbers = {name: round(v, 6) if isinstance(v, float) else v for name, v in asdict(seen).items()}
        log.info("%s", json.dumps({"time": stamp, **numbers}))
        return
    log.info(
        "%s %s %d %.0f ms, %d documents, %d tokens%s",
        seen.path, seen.dialect, seen.code, 1000 * seen.seconds, seen.documents, seen.tokens,
        f" ({seen.reason})" if seen.reason else "",
    )  # fmt: skip
