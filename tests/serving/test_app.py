"""HTTP around the service, as it is seen from outside: metrics, logs, headers, addresses."""

from __future__ import annotations

import json
import logging

import pytest
from starlette.testclient import TestClient

from ltr.serving.keys import Keys
from ltr.serving.problems import STATUS, Problem
from ltr.serving.web.app import READING, application
from tests.serving.asked import BODY, every
from tests.serving.wires import WIRES


def test_metrics(client, service):
    before = client.get("/metrics").text
    client.post("/v1/rerank", json={**BODY, "documents": ["read the text " * 60, "a"]})
    client.post("/v1/rerank", json={"documents": []})
    after = client.get("/metrics").text

    def value(text, name):
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    grown = {
        'ltr_requests_total{code="200",dialect="cohere_v1"}': 1,
        'ltr_requests_total{code="422",dialect="cohere_v1"}': 1,
        'ltr_request_seconds_count{dialect="cohere_v1"}': 2,
        "ltr_queue_seconds_count": 1,
        "ltr_documents_total": 2,
        "ltr_truncated_documents_total": 1,
        'ltr_rejected_total{reason="invalid"}': 1,
    }
    assert {name: value(after, name) - value(before, name) for name in grown} == grown
    assert value(after, "ltr_step_seconds_count") > value(before, "ltr_step_seconds_count")
    assert value(after, "ltr_step_tokens_sum") > value(before, "ltr_step_tokens_sum")
    assert "ltr_queue_tokens 0.0" in after
    assert 'ltr_model_info{folder="' in after


def test_a_line_of_the_log_for_each_request(service, caplog):
    client = TestClient(application(service, "json"))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with caplog.at_level(logging.INFO, "ltr.serving.requests"):
        client.post(
            "/v2/rerank",
            json={"query": "hidden", "documents": ["secret"]},
            headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
        )
        client.post(
            "/v2/rerank",
            json={
                "query": "hidden",
                "documents": ["\ud800".encode("utf-8", "surrogatepass").decode("latin-1")],
                "top_n": -1,
            },
        )
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [(line["dialect"], line["code"], line["reason"]) for line in lines] == [
        ("cohere_v2", 200, ""),
        ("cohere_v2", 422, "invalid"),
    ]
    assert lines[0]["trace"] == trace
    assert lines[0]["documents"] == 1
    assert lines[0]["tokens"] > 3
    assert lines[0]["seconds"] >= lines[0]["computing"] > 0
    assert "secret" not in caplog.text
    assert "hidden" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "ltr.serving.requests"):
        TestClient(application(service, "text")).post("/rerank", json=BODY)
    assert "/rerank infinity 200" in caplog.text


def test_headers_of_tei(client):
    headers = client.post("/rerank", json={"query": "sort", "texts": ["a list"]}).headers
    assert headers["x-compute-type"] == "cpu"
    assert headers["x-compute-characters"] == "10"
    assert headers["x-compute-tokens"] == "6"
    for name in ("x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"):
        assert headers[name].isdigit()
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_other_addresses_and_methods(client):
    answer = client.post("/v3/rerank", json=BODY)
    assert answer.status_code == 404
    assert "there is no such address; documents are ranked by POST at /v1/rerank" in answer.json()["error"]["message"]
    assert "message" in client.get("/v1/nothing").json()
    answer = client.get("/v1/rerank")
    assert answer.status_code == 405
    assert answer.json()["message"] == "this address does not take GET; it takes another method"
    assert answer.headers["allow"] == "POST"
    assert client.put("/").headers["allow"] == "GET, POST"
    assert set(client.post("/openapi.json").headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert "allow" not in client.get("/v1/nothing").headers


def test_invocations_take_every_dialect(client):
    for wire in WIRES:
        if wire.path == "/rerank" or wire.name == "vllm_score":
            body = wire.fields("q", ["a", "b"])
            for path in ("/invocations", "/"):
                here, there = client.post(path, json=body), client.post(wire.path, json=body)
                if wire.name == "infinity" and path == "/":
                    continue  # without a field that tells, it is TEI's
                assert wire.results(here.json()) == wire.results(there.json())


def test_the_description_fits_what_is_served(client):
    description = client.get("/openapi.json").json()
    assert {path for path, methods in description["paths"].items() if "post" in methods} == {
        "/v1/rerank", "/v2/rerank", "/rerank", "/infinity/rerank", "/score", "/v1/score", "/invocations", "/",
    }  # fmt: skip
    for wire in WIRES:
        schema = description["paths"][wire.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        each = [schema] if "title" in schema else schema["anyOf"]
        ours = next(one for one in each if one["title"] == wire.name)
        import jsonschema

        jsonschema.validate(wire.fields("q", ["a"]), ours)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({}, ours)


@every
def test_answers_and_refusals_are_those_that_are_described(wire, client):
    """In a second; tests/serving/test_description.py tries all that schemathesis thinks of."""
    import jsonschema

    told = client.get("/openapi.json").json()["paths"][wire.path]["post"]["responses"]
    long = {"unknown": 1, **wire.fields("q", ["read the text " * 60, "a"])}
    for body, code in (
        (wire.fields("q", ["a", "b"]), 200),
        (long, 200),
        (long | ({wire.shows: True} if wire.shows else {}), 200),
        (wire.fields("q", ["a", 3]), 422),
    ):
        answer = client.post(wire.path, json=body)
        assert answer.status_code == code
        jsonschema.validate(answer.json(), told[str(code)]["content"]["application/json"]["schema"])
    # nobody is there to read 499, and another method is another operation
    assert {str(code) for code in STATUS.values()} - set(told) == {"405", "499"}


def test_what_is_read_is_what_is_described(client, service, monkeypatch):
    """With models, before there are any, and without a key."""
    import jsonschema

    described = client.get("/openapi.json").json()["paths"]
    monkeypatch.setenv("LTR_API_KEYS", "secret")
    seen = set()
    for at, name, value in ((service, "draining", False), (service.models, "_held", {}), (service, "keys", Keys())):
        monkeypatch.setattr(at, name, value)
        for path in READING:
            answer = client.get(path)
            content = described[path]["get"]["responses"][str(answer.status_code)].get("content", {})
            assert answer.headers.get("content-type", "").partition(";")[0] == "".join(content)
            if "application/json" in content:
                jsonschema.validate(answer.json(), content["application/json"]["schema"])
            seen.add((path, answer.status_code))
    assert {code for path, code in seen if path == "/info"} == {200, 401, 503}
    assert {code for path, code in seen if path == "/ready"} == {200, 503}


def test_the_description_is_the_same_in_every_process(client):
    """Values are listed in an order of their own, not that of a set, which differs from one process to the next."""
    told = client.get("/openapi.json").json()["paths"]["/rerank"]["post"]["responses"]["422"]
    (tei,) = [
        one for one in told["content"]["application/json"]["schema"]["anyOf"] if "error_type" in one["properties"]
    ]
    assert tei["properties"]["error_type"]["enum"] == ["Unhealthy", "Backend", "Overloaded", "Empty", "Validation"]


def test_the_reference_loads_nothing(client):
    answer = client.get("/docs")
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path in ("/v1/rerank", "/score", "/metrics"):
        assert f"{path}</code>" in answer.text
    for told in ("text_1", "data_2", "list of string or null", "boolean or null"):
        assert f"<code>{told}</code>" in answer.text


def test_problems_have_a_status():
    assert Problem("overloaded", "x").status == 429
