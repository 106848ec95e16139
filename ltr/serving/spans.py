"""A span of OpenTelemetry for each request, where its packages are installed; where spans go, its own settings say."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ltr import __version__
from ltr.serving.observed import Seen


class Spans:
    """Tells OpenTelemetry of requests that are over; without its packages, and without a place for spans, of none.

    A span has the parent that the request names (``traceparent``), the names of HTTP's conventions, and beside them
    ``ltr.dialect``, ``ltr.model``, ``ltr.documents``, ``ltr.truncated_documents``, ``ltr.tokens`` and the seconds of tokenising,
    queueing and computing. No text of a request is in it.

    Args:
        provider: of tracers; None for the one of this process, which ``opentelemetry-instrument`` sets.
    """

    def __init__(self, provider: Any = None):
        self._tracer: Any = None
        try:
            from opentelemetry import propagate, trace
        except ImportError:  # an optional package: nobody has asked for spans
            return
        self._propagate, self._trace = propagate, trace
        self._tracer = trace.get_tracer("ltr.serving", __version__, provider)

    def request(self, seen: Seen, method: str, headers: Mapping[str, str]) -> None:
        """Tell of a request.

        Args:
            seen: what is told of it.
            method: of HTTP.
            headers: that it came with, in lower case.
        """
        if self._tracer is None:
            return
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{method} {seen.path}",
            context=self._propagate.extract(headers),
            kind=self._trace.SpanKind.SERVER,
            attributes=_attributes(seen, method),
            start_time=end - round(seen.seconds * 1e9),
        )
        if seen.code >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(end)


def _attributes(seen: Seen, method: str) -> dict[str, str | int | float]:
    found: dict[str, str | int | float] = {
        "http.request.method": method,
        "http.route": seen.path,
        "http.response.status_code": seen.code,
        "ltr.dialect": seen.dialect,
    }
    if seen.reason:
        return {**found, "error.type": seen.reason}
    return {
        **found,
        "ltr.model": seen.model,
        "ltr.documents": seen.documents,
        "ltr.truncated_documents": seen.truncated,
        "ltr.tokens": seen.tokens,
        "ltr.tokenising_seconds": seen.tokenising,
        "ltr.queue_seconds": seen.queueing,
        "ltr.step_seconds": seen.computing,
    }
