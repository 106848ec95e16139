"""Real clients against a live port, in the environments that they need; what they call stands in ``clients/calls.py``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ltr.inference.probability import Sigmoid
from tests.environments import interpreter
from tests.serving.clients.calls import CALLS
from tests.serving.live import Live

SCRIPT = Path(__file__).parent / "clients" / "calls.py"
KEY = "a-key-of-the-tests"
QUESTION = {
    "query": "how to join two paths",
    "documents": ["sort a list", "join the paths and return the path", "open a file, read text", "🙂 join"],
    "top_n": 3,
}
#: calls whose packages do not take cohere 7
OLD = {"langchain_cohere", "langchain_cohere_in_a_retriever", "llama_index_cohere", "rerankers_in_langchain"}


@pytest.fixture(scope="module")
def live(folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("clients")
    (home / "keys").write_text(KEY)
    with Live(folder, home, "--keys", str(home / "keys")) as made:
        made.wait()
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "absent"), [("clients-cohere-5", set()), ("clients-cohere-7", OLD)])
def test_real_clients_get_what_the_reranker_says(environment, absent, live, reranker):
    command = [str(interpreter(environment)), str(SCRIPT), live.url, KEY]
    done = subprocess.run(
        command, input=json.dumps(QUESTION), capture_output=True, text=True, check=True, timeout=600, env={"PATH": ""}
    )
    *outcomes, last = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert set(last["absent"]) == absent
    assert [one["call"] for one in outcomes] == [name for name in CALLS if name not in absent]
    assert [one for one in outcomes if "error" in one] == []
    raw = reranker.score([(QUESTION["query"], text) for text in QUESTION["documents"]])
    wanted = np.argsort(-raw, kind="stable")[: QUESTION["top_n"]]
    for one in outcomes:
        indices, scores = zip(*one["results"], strict=True)
        assert list(indices) == wanted.tolist(), one
        np.testing.assert_allclose(scores, Sigmoid()(raw)[wanted], atol=1e-6, err_msg=one["call"])
