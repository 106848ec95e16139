"""Scripts of benchmarks/speed: as they are called, in a process of their own, or in this one, which has imported torch already."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tiny_model import save_tokenizer

ROOT = Path(__file__).parents[2]
SPEED = ROOT / "benchmarks" / "speed"


@pytest.fixture
def speed(monkeypatch):
    """The folder of the scripts, importable as they import each other."""
    monkeypatch.syspath_prepend(str(SPEED))
    return SPEED


@pytest.fixture(scope="session")
def tiny_ranker(tmp_path_factory) -> Path:
    """The folder of a tiny cross-encoder with a scoring head, that reads 256 tokens."""
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("models") / "ranker"
    config = BertConfig(
        vocab_size=160, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=256, num_labels=1, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(7)
        BertForSequenceClassification(config).save_pretrained(folder)
    save_tokenizer(folder, length=256)
    return folder


@pytest.fixture
def measured(tmp_path):
    """Run a script in a process of its own; gives the JSON that it keeps and what it printed."""

    def run(script: str, *arguments: str, rivals: str = "nowhere") -> tuple[dict, str]:
        output = tmp_path / f"{script}.json"
        found = subprocess.run(
            [sys.executable, str(SPEED / f"{script}.py"), *arguments, "--output", str(output)],
            env={**os.environ, "LTR_RIVALS": str(tmp_path / rivals), "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        return json.loads(output.read_text()), found.stdout

    return run


@pytest.fixture
def measured_here(speed, tmp_path, monkeypatch, capsys):
    """As ``measured``, in this process; the script's module comes first."""

    def run(module, *arguments: str) -> tuple[dict, str]:
        output = tmp_path / f"{module.__name__}.json"
        monkeypatch.setenv("LTR_RIVALS", str(tmp_path / "nowhere"))
        monkeypatch.setattr("sys.argv", [f"{module.__name__}.py", *arguments, "--output", str(output)])
        threads = torch.get_num_threads()
        try:
            with torch.random.fork_rng():
                module.main()
        finally:
            torch.set_num_threads(threads)
        return json.loads(output.read_text()), capsys.readouterr().out

    return run


def run_here(command: list[str], **options) -> subprocess.CompletedProcess:
    """In place of ``subprocess.run``: the script of a command, one of ``common``, with its arguments in this process."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr("sys.argv", command[1:])
        importlib.import_module(f"common.{Path(command[1]).stem}").main()
    return subprocess.CompletedProcess(command, 0, said.getvalue(), "")


class ChildHere:
    """In place of ``common.children.Child``: the worker of a script that scores or trains, in this process."""

    def __init__(self, python: str, script: str, task: dict, threads: int):
        from common.children import RIVALS, versions

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.path", ["", *sys.path])  # the script replaces and removes its first folder
            module = importlib.import_module(f"common.{Path(script).stem}")
        self._worker = module.worker(json.loads(json.dumps(task)))
        self.ready = {"load_seconds": 0.0, "versions": versions(RIVALS)}

    def ask(self, question: dict) -> dict:
        return json.loads(json.dumps(self._worker(question)))

    def close(self) -> None:
        """Nothing was started."""
