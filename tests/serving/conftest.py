"""A tiny model that is served in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from ltr.inference.reranker import Reranker
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.serving.keys import Keys
from ltr.serving.limits import Limits
from ltr.serving.service import Service, service_of
from ltr.serving.web.app import application
from ltr.serving.work.engine import Engine
from ltr.settings import ModelSettings
from tests.tiny_model import save_tiny

#: of the models in these tests
SETTINGS = ModelSettings(60, 20, interpolation=0.25)


def opened(folder: str) -> list[Reranker]:
    return [Reranker.load(folder, "cpu", "32")]


def saved(home: Path, seed: int = 2, settings: ModelSettings = SETTINGS) -> Path:
    """A tiny model with a head of its own."""
    save_tiny(home / "backbone")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        CrossEncoder(str(home / "backbone")).save(home / "best", settings)
    return home / "best"


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("other"), seed=3)


@pytest.fixture(scope="session")
def reranker(folder) -> Reranker:
    return opened(str(folder))[0]


def started(models: dict[str, str], limits: Limits | None = None, keys: Keys | None = None, **engine) -> Service:
    """A service whose models are loaded."""
    made = service_of(models, opened, Engine("cpu", 2, **engine), limits or Limits(), keys or Keys())
    made.load()
    return made


@pytest.fixture(scope="session")
def service(folder):
    made = started({"demo": str(folder)})
    yield made
    made.close()


@pytest.fixture(scope="session")
def client(service) -> TestClient:
    """Without the lifespan, which would close the service."""
    return TestClient(application(service, "off"), raise_server_exceptions=False)


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
