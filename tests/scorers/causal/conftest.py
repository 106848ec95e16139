import pytest

from tests.scorers.causal.tiny import save_tiny_causal


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory):
    """The folder of a tiny Llama."""
    return save_tiny_causal(tmp_path_factory.mktemp("causal") / "tiny")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of references of each test's own."""
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))
