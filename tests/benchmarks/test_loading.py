"""The benchmark of loading runs on a small made collection, and its collections are what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ltr.data.collections.collection import load
from tests.tiny_model import save_tokenizer

ROOT = Path(__file__).parents[2]
SPEED = ROOT / "benchmarks" / "speed"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model that reads 512 tokens."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("model")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = AutoConfig.for_model("bert", vocab_size=160, num_labels=1, **sizes)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def python(*command: str, **options) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SPEED}", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, **options)


@pytest.mark.slow  # twelve processes, each of which imports torch and Lightning
def test_runs_small(model, tmp_path):
    result = tmp_path / "loading.json"
    small = ["--passages", "640", "--depth", "10", "--steps", "2", "--lists", "1", "--layers", "1", "--seconds", "0.1"]
    done = python(str(SPEED / "loading.py"), *small, "--threads", "1", "--model", str(model), "--output", str(result))
    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text())
    assert [row["passages"] for row in found["sizes"]] == [40, 160, 640]
    assert [row["queries"] for row in found["sizes"]] == [4, 16, 64]
    for row in found["sizes"]:
        assert row["second_start_s"] > 0
        assert row["first_peak_mb"] >= row["first_peak_own_mb"] > 50
        assert row["token_store_mb"] > row["passages"] * 56 * 2 / 1e6, "all passages are tokenised"
    assert found["extrapolated"]["passages"] == 8_841_823
    whole, last = found["extrapolated"]["doc_store_mb"], found["sizes"][-1]["doc_store_mb"]
    assert whole == pytest.approx(last * 8_841_823 / 640, rel=0.1)
    assert len(found["training"]) == 2
    for row in found["training"]:
        assert 0 < row["wait_ms"] < row["ms_per_step"]
        assert 0 < row["in_model_percent"] < 100
    assert found["loader"]["docs_per_s"] > 0
    assert "8,841,823 (line)" in done.stdout
    assert "in_model_percent" in done.stdout


def test_made_collections_are_reproducible_and_name_every_passage_once(model, speed, tmp_path):
    from common.synthetic import make, vocabulary

    for name in ("a", "b"):
        make(tmp_path / name, 500, 25, vocabulary(str(model), 500), seed=3)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    train, dev = load(tmp_path / "a" / "train"), load(tmp_path / "a" / "dev")
    assert (train.n_docs, len(train.queries), len(dev.queries)) == (500, 20, 20)
    run = [line.split() for line in (tmp_path / "a" / "run.first.train.trec").read_text().splitlines()]
    assert sorted(int(fields[2]) for fields in run) == list(range(500))
    listed = {(fields[0], fields[2]) for fields in run}
    assert all((query, doc) in listed for query, docs in train.qrels.items() for doc in docs)
    lengths = np.array([len(text.split()) for _, text in train.docs()])
    assert 50 < lengths.mean() < 62
    assert lengths.std() > 15
