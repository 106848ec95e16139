"""A small server that speaks TEI's ``/info`` and ``/rerank`` on a port of this machine; import ``server`` in a conftest or a test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import exp
from typing import Any

import pytest


def overlap(query: str, text: str) -> float:
    """A score that anyone can check: words of the text that stand in the query, less a tenth for each other word."""
    words = text.lower().split()
    common = sum(word in query.lower().split() for word in words)
    return common - 0.1 * (len(words) - common)


@dataclass
class Server:
    """What it does, and what it saw.

    Attributes:
        url: where it listens.
        limit: texts a request may have; None has no ``/info``.
        info: what ``/info`` says instead.
        first: (status, headers, body) of answers to ``/rerank`` before any score is given; None lets one through.
        answer: what ``/rerank`` always answers instead of scores.
        seen: the bodies of ``/rerank``.
        headers: the headers of the last request.
        connections: the client's port of each request.
    """

    url: str = ""
    limit: int | None = 4
    info: Any = None
    first: list[tuple[int, dict[str, str], Any] | None] = field(default_factory=list)
    answer: Any = None
    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    connections: list[int] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def rerank(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        with self.lock:
            self.seen.append(body)
            scripted = self.first.pop(0) if self.first else None
        if scripted is not None:
            return scripted
        if self.answer is not None:
            return 200, {}, self.answer
        if self.limit is not None and len(body["texts"]) > self.limit:
            return 422, {}, {"error": f"batch size {len(body['texts'])} > {self.limit}", "error_type": "Validation"}
        scores = [overlap(body["query"], text) for text in body["texts"]]
        shown = scores if body["raw_scores"] else [1 / (1 + exp(-score)) for score in scores]
        rows = [{"index": i, "score": score} for i, score in enumerate(shown)]
        return 200, {}, sorted(rows, key=lambda row: -row["score"])

    def get(self, path: str) -> tuple[int, dict[str, str], Any]:
        if path != "/info" or (self.limit is None and self.info is None):
            return 404, {}, {"error": "not found"}
        return 200, {}, {"max_client_batch_size": self.limit} if self.info is None else self.info


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send(server.get(self.path))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.headers = dict(self.headers)
            server.connections.append(self.client_address[1])
            self.send(server.rerank(body) if self.path == "/rerank" else (404, {}, {"error": "no such path"}))

        def send(self, answer: tuple[int, dict[str, str], Any]) -> None:
            status, headers, body = answer
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{listening.server_port}"
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test's own."""
    with serving(Server()) as started:
        yield started
