"""A language model that is asked, wherever a cross-encoder can stand: in a benchmark, behind a server, as teacher of a run."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from ltr.cli.main import main
from ltr.experiments.cells.runner import run
from ltr.experiments.spec.reading import read_spec
from ltr.inference import Reranker
from ltr.scorers import CausalScorer, ModelSettings
from ltr.serving.web.app import application
from tests.experiments.here import Here
from tests.experiments.specs import content, write
from tests.serving.conftest import started

ASKED = {"prompt": "Q:\n{query}\nD:\n{document}\nis", "yes": "yes", "no": "no"}
QUERY, DOCS = "how to join two paths", ["split the string", "a file", "no"]


@pytest.fixture(scope="module")
def folder(tiny_causal, tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked") / "best"
    CausalScorer(str(tiny_causal), **ASKED).eval().save(folder, ModelSettings(60, 20))
    return folder


class Noted(Here):
    """Keeps what cells find."""

    def next(self):
        task, self.outcome = super().next()
        return task, self.outcome


def test_a_benchmark_trains_and_tests_one(tiny_causal, tiny_folder, tmp_path):
    values = content(tiny_folder, tiny_causal, tmp_path / "runs")
    values["scorers"] = {
        "asked": {"class_path": "ltr.scorers.CausalScorer", "init_args": {"model": str(tiny_causal), **ASKED}}
    }
    values["losses"], values["seeds"] = {"ListNet": "ListNet()"}, 1
    values["trainer"]["max_epochs"] = 1
    del values["tuning"]
    cells = Noted()
    run(read_spec(write(tmp_path / "spec.yaml", values)), cells, lambda _: None)
    assert cells.ran == ["toy · asked · ListNet · seed 0"]
    assert cells.outcome.record["status"] == "finished"
    assert 0 < cells.outcome.record["value"] <= 1
    assert cells.outcome.truth is not None  # of the test


def test_a_server_answers_with_one(folder):
    expected = {one.index: one.score for one in Reranker.load(folder, "cpu", "32").rank(QUERY, DOCS)}
    service = started({"asked": str(folder)})
    try:
        client = TestClient(application(service, "off"))
        answer = client.post("/rerank", json={"query": QUERY, "texts": DOCS, "raw_scores": True})
    finally:
        service.close()
    assert answer.status_code == 200, answer.text
    assert {one["index"]: one["score"] for one in answer.json()} == pytest.approx(expected, abs=1e-4)


def test_its_run_teaches(folder, tiny_folder, tmp_path, capsys):
    taught = tmp_path / "teacher.trec"
    command = ["rerank", "--model", str(folder), "--dataset", f"{tiny_folder}/train", "--run", "first"]
    assert main([*command, "--output", str(taught), "--precision", "32"]) == 0
    lines = [line.split() for line in taught.read_text().splitlines()]
    assert {line[0] for line in lines} == {"q1", "q2"}
    assert all(abs(float(line[4])) < 100 for line in lines)
    assert "a softmax of them gives the best document" in capsys.readouterr().out
