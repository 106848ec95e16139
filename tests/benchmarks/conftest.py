"""Scripts of benchmarks/speed in a process of their own, as they are called."""

from __future__ import annotations

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
    yield SPEED
    for name in [name for name in sys.modules if name == "common" or name.startswith("common.")]:
        del sys.modules[name]


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
    save_tokenizer(folder)
    return folder


@pytest.fixture
def measured(tmp_path):
    """Run a script; gives the JSON that it keeps and what it printed."""

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
