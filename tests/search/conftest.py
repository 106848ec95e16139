"""A small bi-encoder."""

from pathlib import Path

import pytest

from tests.tiny_model import tiny_model  # noqa: F401


@pytest.fixture(scope="session")
def bi_encoder(tmp_path_factory, tiny_model) -> Path:  # noqa: F811
    """The folder of a tiny bi-encoder with random weights."""
    from ltr.scorers import BiEncoder
    from ltr.settings import TwinSettings

    folder = tmp_path_factory.mktemp("retriever") / "tiny"
    BiEncoder(str(tiny_model)).save(folder, TwinSettings(40, 20))
    return folder
