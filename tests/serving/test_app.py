"""HTTP around the service: limits, keys, models, headers, what is told of it."""

from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.testclient import TestClient

from ltr.errors import ConfigError
from ltr.serving.keys import Keys
from ltr.serving.limits import Limits
from ltr.serving.problems import Problem
from ltr.serving.web.app import application
from ltr.serving.work.models import Models, folders_of
from tests.serving.conftest import opened, started
from tests.serving.wires import WIRES

BODY = {"query": "join paths", "documents": ["join two paths", "sort a list"]}
every = pytest.mark.parametrize("wire", WIRES, ids=lambda w: f"{w.name} at {w.path}")


@pytest.fixture
def serving():
    """Makes services that end with the test."""
    made = []

    def make(*args, **kwargs):
        made.append(started(*args, **kwargs))
        return TestClient(application(made[-1], "off"), raise_server_exceptions=False)

    yield make
    for service in made:
        service.close()


@pytest.fixture
def changed(service, monkeypatch):
    """Changes something of the service for this test alone."""

    def change(name, value):
        monkeypatch.setattr(service, name, value)
        return service

    return change


# ---------------------------------------------------------------------- limits


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


# ---------------------------------------------------------------------- keys


@every
def test_a_key_is_needed(wire, client, changed, tmp_path):
    (tmp_path / "keys").write_text("# ours\n\nfirst-key\n second-key \n")
    changed("keys", Keys(tmp_path / "keys"))
    body = wire.fields("q", ["a"])
    for header in (
        {},
        {"authorization": "Bearer nonsense"},
        {"authorization": "first-key"},
        {"authorization": "Basic first-key"},
    ):
        answer = client.post(wire.path, json=body, headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "send it as Authorization: Bearer KEY" in answer.text
    for key in ("first-key", "second-key"):
        assert client.post(wire.path, json=body, headers={"authorization": f"Bearer {key}"}).status_code == 200


def test_what_needs_no_key(client, changed, tmp_path):
    (tmp_path / "keys").write_text("key")
    changed("keys", Keys(tmp_path / "keys"))
    open_to_all = ["/health", "/ping", "/ready", "/.well-known/ready", "/metrics", "/", "/docs", "/openapi.json"]
    assert {client.get(path).status_code for path in open_to_all} <= {200, 204}
    for path in ("/info", "/v1/models", "/meta"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": "bearer key"}).status_code == 200


def test_keys_are_read_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_API_KEYS", "a, b")
    assert [Keys().allow(f"Bearer {key}") for key in "abc"] == [True, True, False]
    monkeypatch.delenv("LTR_API_KEYS")
    assert not Keys().needed
    assert Keys().allow(None)
    file = tmp_path / "keys"
    file.write_text("old\n")
    keys = Keys(file)
    file.write_text("new\n")
    assert keys.allow("Bearer old")
    keys.reload()
    assert [keys.allow("Bearer old"), keys.allow("Bearer new"), keys.allow("Bearer é"), keys.allow(None)] == [
        False,
        True,
        False,
        False,
    ]
    file.write_text("# none\n")
    with pytest.raises(ConfigError, match="holds no key; write one a line, or leave --keys out"):
        keys.reload()
    assert keys.allow("Bearer new")


# ---------------------------------------------------------------------- models


@pytest.fixture(scope="module")
def two(folder, other_folder):
    made = started({"demo": str(folder), "other": str(other_folder)})
    yield TestClient(application(made, "off"), raise_server_exceptions=False)
    made.close()


@every
def test_several_models_are_called_by_name(wire, two, folder, other_folder):
    texts = ["join two paths", "sort a list"]
    for name, place in (("demo", folder), ("other", other_folder)):
        raw = opened(str(place))[0].score([("q", text) for text in texts])
        answer = two.post(wire.path, json={**wire.fields("q", texts), "model": name, "raw_scores": True})
        scores = {one.index: one.score for one in wire.results(answer.json())}
        np.testing.assert_allclose([scores[0], scores[1]], raw, atol=1e-6)
    answer = two.post(wire.path, json={**wire.fields("q", texts), "model": "othr"})
    assert answer.status_code == 404
    assert "other" in wire.sentence(answer.json())
    assert wire.sentence(answer.json()).endswith("all: demo, other")
    answer = two.post(wire.path, json=wire.fields("q", texts))
    assert answer.status_code == 404
    assert wire.sentence(answer.json()) == "say by model which one shall answer: demo, other"


def test_what_is_told_of_models(two, client):
    assert [one["id"] for one in two.get("/v1/models").json()["data"]] == ["demo", "other"]
    info = client.get("/info").json()
    assert info["model_id"] == "demo"
    assert info["max_input_length"] == 60
    assert info["max_client_batch_size"] == 1000
    assert info["model_type"]["reranker"]["id2label"] == {"0": "LABEL_0"}
    assert client.get("/meta").json()["max_length"] == 60


def test_names_of_models():
    assert folders_of(["runs/demo/best", "a=/x/y", "org/name"]) == {
        "demo/best": "runs/demo/best",
        "a": "/x/y",
        "org/name": "org/name",
    }
    assert folders_of(["/srv/models/x/best/"]) == {"x/best": "/srv/models/x/best/"}
    with pytest.raises(ConfigError, match="two models are called a: x and y; give one of them another name"):
        folders_of(["a=x", "a=y"])
    with pytest.raises(ConfigError, match="--model must be a folder or name=folder, got '='"):
        folders_of(["="])
    with pytest.raises(ConfigError, match="give at least one model"):
        Models({}, opened)


def test_an_exchange_loses_nothing(serving, tmp_path, folder, other_folder):
    """Requests go on while the model changes, and each is answered by one of the two."""
    place = tmp_path / "model"
    place.symlink_to(folder)
    client = serving({"demo": str(place)})
    service = client.app.state.service
    texts = ["join two paths", "sort a list"]
    known = [opened(str(f))[0].score([("q", text) for text in texts]) for f in (folder, other_folder)]
    stop = threading.Event()

    def ask():
        found = []
        while not stop.is_set():
            answer = client.post("/score", json={"text_1": "q", "text_2": texts, "raw_scores": True})
            found.append((answer.status_code, [one["score"] for one in answer.json().get("data", [])]))
        return found

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(ask) for _ in range(3)]
        place.unlink()
        place.symlink_to(other_folder)
        service.reload()
        time.sleep(0.1)
        stop.set()
        found = [one for task in running for one in task.result()]
    assert {code for code, _ in found} == {200}
    by_which = {next(i for i, raw in enumerate(known) if np.allclose(raw, scores, atol=1e-6)) for _, scores in found}
    assert 1 in by_which
    place.unlink()
    service.reload()  # nothing is there any more: what serves goes on
    assert client.post("/score", json={"text_1": "q", "text_2": texts}).status_code == 200


def test_not_ready_before_models_are_loaded(client, service, monkeypatch):
    assert client.get("/ready").status_code == 200
    assert client.get("/.well-known/ready").status_code == 204
    monkeypatch.setattr(service.models, "_held", {})
    assert client.get("/ready").json() == {"status": "loading"}
    assert {
        client.get(path).status_code for path in ("/ready", "/health", "/ping", "/.well-known/ready", "/info", "/meta")
    } == {503}
    for wire in WIRES:
        answer = client.post(wire.path, json=wire.fields("q", ["a"]))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert "not loaded yet" in wire.sentence(answer.json())


def test_while_it_drains(client, service, monkeypatch):
    monkeypatch.setattr(service, "draining", True)
    assert client.get("/ready").status_code == 503
    assert client.get("/health").status_code == 200
    answer = client.post("/rerank", json=BODY)
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"


# ---------------------------------------------------------------------- what the model does wrong


@every
def test_a_model_of_nan_fails_with_words(wire, client, service, monkeypatch):
    scorer = service.models.held["demo"].scorers[0]
    forward = type(scorer).forward
    monkeypatch.setattr(type(scorer), "forward", lambda self, batch, tokens=None: forward(self, batch, tokens) * np.nan)
    answer = client.post(wire.path, json=wire.fields("q", ["a"]))
    assert answer.status_code == (424 if wire.name == "tei" else 500)
    assert "the model's score of document 0 is not a finite number" in wire.sentence(answer.json())


@every
def test_a_mistake_of_the_server_is_told_without_documents(wire, client, service, monkeypatch, caplog):
    scorer = service.models.held["demo"].scorers[0]

    def broken(self, batch, tokens=None):
        raise ZeroDivisionError("of documents: secret")

    monkeypatch.setattr(type(scorer), "forward", broken)
    answer = client.post(wire.path, json=wire.fields("secret", ["secret"]))
    assert answer.status_code == 500
    assert "the server failed (ZeroDivisionError)" in wire.sentence(answer.json())
    assert "secret" not in answer.text
    monkeypatch.undo()
    assert client.post(wire.path, json=wire.fields("q", ["a"])).status_code == 200


def test_a_model_that_cannot_be_served_is_not_loaded(tmp_path):
    from tests.tiny_model import save_tiny

    bare = save_tiny(tmp_path / "bare")
    with pytest.raises(ConfigError, match="has no trained scoring head"):
        started({"bare": str(bare)}).close()


# ---------------------------------------------------------------------- seen from outside


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
        "/v1/rerank", "/v2/rerank", "/rerank", "/score", "/v1/score", "/invocations", "/",
    }  # fmt: skip
    for wire in WIRES:
        schema = description["paths"][wire.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        ours = next(one for one in schema.get("anyOf", [schema]) if one["title"] == wire.name)
        import jsonschema

        jsonschema.validate(wire.fields("q", ["a"]), ours)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({}, ours)


def test_the_reference_loads_nothing(client):
    answer = client.get("/docs")
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path in ("/v1/rerank", "/score", "/metrics"):
        assert f"{path}</code>" in answer.text


def test_problems_have_a_status():
    assert Problem("overloaded", "x").status == 429
