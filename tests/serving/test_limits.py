"""How much one request may ask for, how long it may take, and what a busy server says."""

from __future__ import annotations

import threading

import pytest

from ltr.serving.limits import Limits
from tests.serving.asked import BODY, every


@every
def test_too_much_is_refused_with_a_sentence(wire, client, changed):
    changed("limits", Limits(documents=3, query_characters=30, tokens=40, body_bytes=500))

    def sentence(body, code=422):
        answer = client.post(wire.path, json=body)
        assert answer.status_code == code, answer.text
        return wire.sentence(answer.json()) if code != 413 else answer.text

    assert (
        sentence(wire.fields("q", ["a"] * 4))
        == "a request may have 3 documents, got 4; split them over several requests"
    )
    assert sentence(wire.fields("q" * 31, ["a"])) == "a query may have 30 characters, got 31; ask a shorter question"
    assert "a request may have 40 tokens, the query counted for each document, got" in sentence(
        wire.fields("q", ["a " * 20] * 3)
    )
    assert "the body may have 500 bytes, and has more" in sentence(wire.fields("q", ["a" * 600]), 413)


def test_a_body_without_a_length_is_read_no_further_than_allowed(client, changed):
    changed("limits", Limits(body_bytes=1000))
    sent = []

    def parts():
        for _ in range(100):
            sent.append(1)
            yield b"x" * 100

    answer = client.post("/v1/rerank", content=parts())
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


def test_a_body_that_comes_too_slowly(client, changed, monkeypatch):
    changed("limits", Limits(body_seconds=0.05))

    async def never(self):
        import asyncio

        await asyncio.sleep(5)
        yield b""

    monkeypatch.setattr("starlette.requests.Request.stream", never)
    answer = client.post("/rerank", json=BODY)
    assert answer.status_code == 408
    assert "the body did not come within 0.05 s" in answer.json()["error"]["message"]


@every
def test_a_busy_server_says_when_to_come_again(wire, client, service, monkeypatch):
    monkeypatch.setattr(type(service.engine), "_queued", property(lambda self: 10**9))
    answer = client.post(wire.path, json=wire.fields("q", ["a"]))
    assert answer.status_code == 429
    wait = 10**9 * service.engine.pace.seconds_per_token / 2
    assert float(answer.headers["retry-after"]) == pytest.approx(wait - 15, abs=2)
    assert "lets nobody wait longer than 30 s; try again after" in wire.sentence(answer.json())


def test_a_deadline(client, service, monkeypatch):
    assert client.post("/v1/rerank", json=BODY, headers={"x-request-timeout": "30"}).status_code == 200
    for wrong in ("soon", "-1", "0", "nan", "inf"):
        answer = client.post("/v1/rerank", json=BODY, headers={"x-request-timeout": wrong})
        assert answer.status_code == 422
        assert "x-request-timeout must be a number of seconds above 0" in answer.json()["message"]
    monkeypatch.setattr(type(service.engine), "_queued", property(lambda self: 10**6))
    monkeypatch.setattr(service.engine.admission, "max_wait", 1e9)
    answer = client.post("/v1/rerank", json=BODY, headers={"x-request-timeout": "0.001"})
    assert answer.status_code == 429
    assert "give more time, or try again after" in answer.json()["message"]


def test_a_deadline_that_passes_while_it_waits(client, service, monkeypatch):
    held = threading.Event()
    model = service.models.held["demo"]
    scorer = model.scorers[0]
    forward = type(scorer).forward

    def slow(self, batch, tokens=None):
        held.wait(5)
        return forward(self, batch, tokens)

    monkeypatch.setattr(type(scorer), "forward", slow)
    answer = client.post("/rerank", json={"query": "q", "texts": ["a"]}, headers={"x-request-timeout": "0.05"})
    held.set()
    assert answer.status_code == 504
    assert answer.json()["error"] == "the deadline that the request gave has passed; give more time, or fewer documents"
