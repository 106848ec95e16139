"""The models that are served: their names, their exchange, and what they do wrong."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.testclient import TestClient

from ltr.errors import ConfigError
from ltr.serving.web.app import application
from ltr.serving.work import models as serving_models
from ltr.serving.work.models import Models, folders_of
from tests.serving.asked import BODY, every
from tests.serving.conftest import opened, started
from tests.serving.wires import WIRES


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


def test_memory_that_loading_freed_goes_back(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(serving_models, "hand_back", lambda: seen.append(dict(models.held)))
    models = Models({"demo": str(folder)}, opened)
    models.load()
    assert list(seen[0]) == ["demo"]


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
