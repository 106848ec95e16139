"""``ltr serve``: what it refuses before it listens, and what it says when models cannot be served."""

from __future__ import annotations

import builtins
import socket

import pytest

from ltr.cli.main import main
from tests.tiny_model import save_tiny


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("bare") / "model")


def refused(capsys, *argv: str) -> str:
    assert main(["serve", *argv]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("ltr serve: ")
    return said[-1].removeprefix("ltr serve: ")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--model", "a=x", "a=y"], "--model: two models are called a: x and y; give one of them another name"),
        (["--model", "x", "--port", "99999"], "--port must be at most 65535, got 99999"),
        (["--model", "x", "--port", "-1"], "--port must be at least 0, got -1"),
        (["--model", "x", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["--model", "x", "--max-wait", "-1"], "--max-wait must be at least 0 seconds, got -1.0"),
        (["--model", "x", "--grace", "nan"], "--grace must be at least 0 seconds, got nan"),
        (["--model", "x", "--keys", "no-such-file"], "--keys: no file no-such-file"),
        (["--model", "x", "--host", "192.0.2.1", "--port", "0"], "serve: 192.0.2.1:0 cannot be listened on"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(argv, sentence, capsys):
    assert sentence in refused(capsys, *argv)


def test_a_port_in_use(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        sentence = refused(capsys, "--model", "x", "--port", port)
    assert f"serve: 127.0.0.1:{port} cannot be listened on (Address already in use); give another --port" in sentence


def test_a_model_without_a_head(bare, capsys):
    """It listens meanwhile, and ends with the reason."""
    assert "has no trained scoring head, its scores would be random; train one with ltr fit" in refused(
        capsys, "--model", str(bare), "--port", "0"
    )


def test_no_such_folder(capsys):
    assert "no-such-folder" in refused(capsys, "--model", "./no-such-folder", "--port", "0")


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_missing_packages_name_the_extra(package, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "is needed for ltr serve, and is not installed: pip install 'ltr[serve]'" in refused(capsys, "--model", "x")
