"""A saved folder in the servers of others: Infinity runs it; for the two that no test can run, what they read of it is there.

sentence-transformers opens it in ``test_sentence_transformers.py``.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from ltr.inference.probability import Sigmoid
from tests.environments import interpreter

QUERY = "join two paths"
TEXTS = ["sort a list", "join the paths and return the path", "open a file, read text", "read " * 100]


def asked(url: str, body: dict | None = None) -> dict:
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_infinity_gives_the_same_scores(model_folder, reranker, tmp_path):
    python = interpreter("infinity")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python.parent / "infinity_emb"), "v2", "--model-id", str(model_folder), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--device", "cpu", "--no-bettertransformer"]
    alone = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "OMP_NUM_THREADS": "1"}
    said = tmp_path / "said.txt"
    with open(said, "w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **alone, "PYTHONPATH": ""})
    try:
        end = time.monotonic() + 300
        while True:
            assert server.poll() is None, said.read_text()
            assert time.monotonic() < end, said.read_text()
            try:
                asked(f"http://127.0.0.1:{port}/health")
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        wanted = reranker.score([(QUERY, text) for text in TEXTS])
        for raw, values in ((True, wanted), (False, Sigmoid()(wanted))):
            answer = asked(f"http://127.0.0.1:{port}/rerank", {"query": QUERY, "documents": TEXTS, "raw_scores": raw})
            found = {one["index"]: one["relevance_score"] for one in answer["results"]}
            np.testing.assert_allclose([found[i] for i in range(len(TEXTS))], values, atol=2e-5)
            assert list(found) == np.argsort(-wanted).tolist()
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def config(model_folder) -> dict:
    return json.loads((model_folder / "config.json").read_text())


def test_what_text_embeddings_inference_reads(config, model_folder):
    """It takes a fast tokenizer, safetensors, and as a reranker what classifies into one label that has a name."""
    assert [name.endswith("Classification") for name in config["architectures"]] == [True]
    assert len(config["id2label"]) == 1
    assert {str(number): name for name, number in config["label2id"].items()} == config["id2label"]
    assert isinstance(config["model_type"], str)
    assert isinstance(config["pad_token_id"], int)
    assert config["max_position_embeddings"] >= 1
    assert (model_folder / "tokenizer.json").is_file()
    assert not list(model_folder.glob("*.bin"))
    _check_weights(model_folder, config["hidden_size"])


def test_what_vllm_reads(config, model_folder):
    """Its architecture's name, one label, and no activation: so its scores are the model's own."""
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert len(config["id2label"]) == 1
    assert config["sentence_transformers"] == {"activation_fn": "torch.nn.modules.linear.Identity"}
    tokenizer = json.loads((model_folder / "tokenizer_config.json").read_text())
    assert tokenizer["model_max_length"] == json.loads((model_folder / "ltr.json").read_text())["max_length"]
    _check_weights(model_folder, config["hidden_size"])


def _check_weights(folder: Path, width: int) -> None:
    """Names and shapes that transformers gives them."""
    with safe_open(folder / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
        assert weights.get_slice("classifier.weight").get_shape() == [1, width]
    assert {"classifier.bias", "bert.pooler.dense.weight", "bert.embeddings.word_embeddings.weight"} <= names
    assert all(name.startswith(("bert.", "classifier.")) for name in names)
