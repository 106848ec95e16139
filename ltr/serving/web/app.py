"""HTTP around the service: addresses, headers, keys, bodies of bounded size."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response

from ltr import __version__
from ltr.serving.dialects.base import Answer, Dialect, Json
from ltr.serving.dialects.choice import ADDRESSES, told_by
from ltr.serving.observed import Seen, tell, trace_of
from ltr.serving.problems import STATUS, Problem
from ltr.serving.service import Refused, Service
from ltr.serving.spans import Spans
from ltr.serving.web import descriptions, openapi
from ltr.serving.web.answers import READ
from ltr.serving.web.page.render import page, reference

#: seconds that a client gives for its answer
DEADLINE = "x-request-timeout"
#: with every answer: nothing guesses its type, nothing keeps it
ALWAYS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}


def application(service: Service, log: str = "text", spans: Spans | None = None) -> FastAPI:
    """The application of a service.

    Args:
        service: what answers; its models may come later.
        log: ``json``, ``text`` or ``off``: how requests are logged.
        spans: what tells OpenTelemetry of requests; None for the way that this process is set up.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(title="ltr serve", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.service, app.state.log, app.state.spans = service, log, spans or Spans()
    for path in ADDRESSES:
        extra = openapi.operation(path)
        app.add_api_route(path, ranking, methods=["POST"], name=path, openapi_extra=extra, response_class=Response)
    for path, endpoint in READING.items():
        code = 204 if "204" in READ[path] else 200
        extra = {"responses": READ[path]}
        app.add_api_route(
            path, endpoint, methods=["GET"], name=path, openapi_extra=extra, response_class=Response, status_code=code
        )
    app.add_exception_handler(HTTPException, _no_such_place)
    return app


async def ranking(request: Request) -> Response:
    """Rank the documents of a body."""
    service: Service = request.app.state.service
    started = time.perf_counter()
    path = request.url.path
    usual = told_by(path)
    try:
        _let_in(service, request)
        body = await _body(request, service.limits.body_bytes, service.limits.body_seconds)
        deadline = _deadline(request)
        dialect, answer = await service.answer(ADDRESSES[path], body, deadline, lambda: _gone(request))
        content = dialect.write(answer)
    except Problem as problem:
        return _refused(request, usual, problem, started)
    except Refused as refused:
        return _refused(request, refused.dialect, refused.problem, started)
    except ClientDisconnect:
        return _refused(request, usual, Problem("gone", "the client left while it sent its request"), started)
    seconds = time.perf_counter() - started
    _seen(request, _told(path, dialect, answer, seconds, request))
    return _json(content, 200, {**_timings(answer, service, seconds), **_closing(service)})


def _let_in(service: Service, request: Request) -> None:
    if not service.keys.allow(request.headers.get("authorization")):
        raise Problem(
            "key", "a key is needed, and none of those that are taken was given; send it as Authorization: Bearer KEY"
        )


async def _body(request: Request, most: int, seconds: float) -> bytes:
    """The body, as long as it is not too large and does not come too slowly."""
    service: Service = request.app.state.service
    said = request.headers.get("content-length", "")
    if said.isdigit():
        service.limits.check_body(int(said))

    async def read() -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            service.limits.check_body(size)
            parts.append(part)
        return b"".join(parts)

    try:
        return await asyncio.wait_for(read(), seconds)
    except asyncio.TimeoutError:
        raise Problem("slow", f"the body did not come within {seconds:g} s; send it faster, or in parts") from None


def _deadline(request: Request) -> float | None:
    given = request.headers.get(DEADLINE)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise Problem("invalid", f"the header {DEADLINE} must be a number of seconds above 0, such as 2.5")
    return time.monotonic() + seconds


async def _gone(request: Request) -> None:
    """Returns when the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refused(request: Request, dialect: Dialect, problem: Problem, started: float) -> Response:
    service: Service = request.app.state.service
    code = dialect.status(problem)
    seconds = time.perf_counter() - started
    trace = trace_of(request.headers.get("traceparent"))
    _seen(request, Seen(request.url.path, dialect.name, "", code, seconds, reason=problem.kind, trace=trace))
    headers = {} if problem.retry_after is None else {"retry-after": str(problem.retry_after)}
    if problem.kind == "key":
        headers["www-authenticate"] = "Bearer"
    if problem.kind in ("body", "slow"):
        headers["connection"] = "close"  # what still comes is not read
    return _json(dialect.refusal(problem), code, {**headers, **_closing(service)})


def _told(path: str, dialect: Dialect, answer: Answer, seconds: float, request: Request) -> Seen:
    result = answer.result
    return Seen(
        path, dialect.name, result.model, 200, seconds, result.tokenising, result.queueing, result.computing,
        answer.asked.request.n_docs, result.tokens, len(answer.truncated),
        trace=trace_of(request.headers.get("traceparent")),
    )  # fmt: skip


def _seen(request: Request, seen: Seen) -> None:
    request.app.state.service.metrics.request(seen)
    request.app.state.spans.request(seen, request.method, request.headers)
    tell(seen, request.app.state.log)


def _timings(answer: Answer, service: Service, seconds: float) -> dict[str, str]:
    """The headers of Text Embeddings Inference, in milliseconds, and what dialects without a place for it cannot say."""
    result = answer.result
    found = {
        "x-compute-type": "cpu" if service.engine.device == "cpu" else "gpu",
        "x-compute-time": result.tokenising + result.computing,
        "x-compute-characters": answer.asked.request.characters,
        "x-compute-tokens": result.tokens,
        "x-total-time": seconds,
        "x-tokenization-time": result.tokenising,
        "x-queue-time": result.queueing,
        "x-inference-time": result.computing,
    }
    headers = {name: str(round(1000 * v)) if isinstance(v, float) else str(v) for name, v in found.items()}
    if answer.truncated:
        headers["x-truncated-documents"] = str(len(answer.truncated))
    if answer.warnings:
        headers["x-warnings"] = "; ".join(answer.warnings)
    return headers


def _closing(service: Service) -> dict[str, str]:
    """While the server drains, clients shall look for another connection."""
    return {"connection": "close"} if service.draining else {}


def _json(content: Json, code: int, headers: Mapping[str, str]) -> Response:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), code, {**headers, **ALWAYS}, "application/json")


async def _no_such_place(request: Request, error: Any) -> Response:
    """Addresses and methods that do not exist, in the words of the nearest dialect."""
    service: Service = request.app.state.service
    kind = "method" if error.status_code == STATUS["method"] else "path"
    sentence = (
        f"this address does not take {request.method}; it takes another method"
        if kind == "method"
        else f"there is no such address; documents are ranked by POST at {', '.join(ADDRESSES)}"
    )
    dialect = told_by(request.url.path)
    problem = Problem(kind, sentence)
    service.metrics.request(Seen("", dialect.name, "", problem.status, 0.0, reason=kind))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    # one address may have two endpoints, of which the framework names the first
    if methods := [m for m, every in (("GET", READING), ("POST", ADDRESSES)) if request.url.path in every]:
        headers["allow"] = ", ".join(methods)
    return _json(dialect.refusal(problem), problem.status, headers)


# ---------------------------------------------------------------------- what is read by GET


def _with_key(describe: Callable[[Service], Json]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that tells of the models, to those who have a key."""

    async def endpoint(request: Request) -> Response:
        service: Service = request.app.state.service
        try:
            _let_in(service, request)
            return _json(describe(service), 200, {})
        except Problem as problem:
            return _refused(request, told_by(request.url.path), problem, time.perf_counter())

    return endpoint


async def health(request: Request) -> Response:
    """200 as soon as models serve, and as long as they do."""
    service: Service = request.app.state.service
    return _state(service, bool(service.models.held))


async def ready(request: Request) -> Response:
    """200 while new requests are welcome."""
    service: Service = request.app.state.service
    return _state(service, service.ready)


async def ready_without_words(request: Request) -> Response:
    """204 while new requests are welcome, as Weaviate asks."""
    return Response(status_code=204 if request.app.state.service.ready else 503)


def _state(service: Service, well: bool) -> Response:
    state = "draining" if service.draining else "ready" if service.models.held else "loading"
    return _json({"status": state}, 200 if well else 503, {})


async def metrics(request: Request) -> Response:
    """Counters, in Prometheus' form."""
    return Response(request.app.state.service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def home(request: Request) -> HTMLResponse:
    """A page to try the models on."""
    text, policy = page(request.app.state.service.keys.needed)
    return HTMLResponse(text, headers={**ALWAYS, "content-security-policy": policy})


async def docs(request: Request) -> HTMLResponse:
    """The reference of all addresses, from the same description as /openapi.json."""
    text, policy = reference(request.app.openapi())
    return HTMLResponse(text, headers={**ALWAYS, "content-security-policy": policy})


READING: dict[str, Callable[[Request], Awaitable[Response]]] = {
    "/": home,
    "/docs": docs,
    "/health": health,
    "/ping": health,
    "/ready": ready,
    "/.well-known/ready": ready_without_words,
    "/.well-known/live": ready_without_words,
    "/metrics": metrics,
    "/info": _with_key(descriptions.info),
    "/meta": _with_key(descriptions.meta),
    "/v1/models": _with_key(descriptions.models),
}
