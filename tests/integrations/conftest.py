"""A model that is small, and texts that it tells apart."""

from pathlib import Path

import pytest
import torch

from ltr.inference import Reranker
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.rerank_server import server  # noqa: F401
from tests.tiny_model import save_tiny


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A saved model whose scores differ clearly."""
    home = tmp_path_factory.mktemp("integrations")
    torch.manual_seed(2)
    CrossEncoder(str(save_tiny(home / "backbone", head=True))).save(home / "best", ModelSettings(60, 20))
    return home / "best"


@pytest.fixture(scope="session")
def reranker(model_folder) -> Reranker:
    """The model, open."""
    return Reranker.load(model_folder, "cpu", "32")
