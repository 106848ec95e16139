"""Spans of OpenTelemetry: one for each request, in the trace that the client names, without a text."""

from __future__ import annotations

import sys

import pytest
from starlette.testclient import TestClient

from ltr.serving.spans import Spans
from ltr.serving.web.app import application
from tests.serving.asked import BODY, every

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exporter():
    return pytest.importorskip(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="pip install opentelemetry-sdk"
    ).InMemorySpanExporter()


@pytest.fixture
def traced(service, exporter) -> TestClient:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return TestClient(application(service, "off", Spans(provider)), raise_server_exceptions=False)


@every
def test_a_request_is_a_span_of_the_clients_trace(wire, traced, exporter):
    body = wire.fields("hidden words", ["secret " * 80, "secret"])
    answer = traced.post(wire.path, json=body, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind.name, span.status.status_code.name) == (f"POST {wire.path}", "SERVER", "UNSET")
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    found = dict(span.attributes)
    seconds = [found.pop(f"ltr.{part}_seconds") for part in ("tokenising", "queue", "step")]
    assert all(part >= 0 for part in seconds)
    assert sum(seconds) <= (span.end_time - span.start_time) / 1e9 < 60
    assert found == {
        "http.request.method": "POST",
        "http.route": wire.path,
        "http.response.status_code": 200,
        "ltr.dialect": wire.name,
        "ltr.model": "demo",
        "ltr.documents": 2,
        "ltr.truncated_documents": 1,
        "ltr.tokens": int(answer.headers["x-compute-tokens"]),
    }
    assert "secret" not in span.to_json()
    assert "hidden" not in span.to_json()


def test_a_refusal_is_one_too_and_a_mistake_of_the_server_is_an_error(traced, exporter, service, monkeypatch):
    traced.post("/v1/rerank", json={**BODY, "top_n": -1})
    monkeypatch.setattr(service.limits.__class__, "check", lambda self, request: 1 / 0)
    traced.post("/rerank", json=BODY)
    refused, failed = exporter.get_finished_spans()
    assert (refused.attributes["error.type"], refused.attributes["http.response.status_code"]) == ("invalid", 422)
    assert (refused.status.status_code.name, failed.status.status_code.name) == ("UNSET", "ERROR")
    assert failed.attributes["error.type"] == "internal"
    assert refused.parent is None


@pytest.mark.parametrize("header", ["", "00-1-2-3", f"00-{'0' * 32}-{PARENT}-01", "🙂"])
def test_a_malformed_traceparent_begins_a_trace(header, traced, exporter):
    assert traced.post("/rerank", json=BODY, headers={"traceparent": header.encode()}).status_code == 200
    assert exporter.get_finished_spans()[0].parent is None


def test_without_the_packages_there_are_none(service, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    client = TestClient(application(service, "off"))
    assert client.post("/rerank", json=BODY).status_code == 200
