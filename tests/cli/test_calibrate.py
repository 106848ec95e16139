"""``ltr calibrate`` and ``ltr rerank --scores probability`` from the command line."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ltr.cli.main import main
from ltr.inference.reranker import Reranker
from ltr.io.trec import read_run
from ltr.settings.texts import ModelSettings
from ltr.training.run.records import write_manifest
from tests.cli.drawn_home import write_home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A model, and a folder whose judgements follow its own scores: what lies above the median of all is relevant."""
    home = tmp_path_factory.mktemp("calibrate")
    draw, docs, queries = write_home(home, 30, 12, 30)
    data = home / "data"
    reranker = Reranker.load(home / "best", "cpu", "32")
    scores = {q: reranker.score([(text, doc) for doc in docs.values()]) for q, text in queries.items()}
    middle = np.median(np.concatenate(list(scores.values())))
    judged, lines = [], []
    for q, own in scores.items():
        relevant = own + draw.normal(0, own.std() / 2, len(own)) > middle
        judged += [f"{q} 0 {d} {int(hit)}\n" for d, hit in zip(docs, relevant, strict=True)]
        lines += [f"{q} Q0 {d} {rank} {100 - rank} first\n" for rank, d in enumerate(docs, 1)]
    (data / "qrels.trec").write_text("".join(judged))
    (data / "run.first.trec").write_text("".join(lines))
    write_manifest(home, loss="ListNet()", scorer="CrossEncoder", status="finished")
    return home


def calibrate(home, *more):
    given = ["--model", str(home / "best"), "--dataset", str(home / "data"), "--run", "first", "--precision", "32"]
    return main(["calibrate", *given, *more])


def test_a_model_is_calibrated_and_used(home, tmp_path, capsys, monkeypatch):
    assert calibrate(home, "--plot", str(tmp_path / "reliability.svg")) == 0
    shown = capsys.readouterr().out
    assert "360 documents of 12 queries" in shown
    assert "<- stored" in shown
    assert "<svg" in (tmp_path / "reliability.svg").read_text()
    card = (home / "best" / "README.md").read_text()
    assert "`ltr.json` holds a map to probabilities of relevance" in card
    kept = ModelSettings.read(home / "best")
    assert (kept.max_length, kept.calibration["kind"] in ("platt", "isotonic")) == (60, True)
    assert kept.calibration["fitted"]["documents"] == 360

    out, plain = tmp_path / "p.trec", tmp_path / "raw.trec"
    given = ["rerank", "--model", str(home / "best"), "--precision", "32"]
    data = ["--dataset", str(home / "data"), "--run", "first"]
    assert main([*given, *data, "-o", str(out), "--scores", "probability"]) == 0
    assert main([*given, *data, "-o", str(plain)]) == 0
    found, raw = read_run(out), read_run(plain)
    assert {q: list(found[q][0]) for q in found} == {q: list(raw[q][0]) for q in raw}
    every = np.concatenate([found[q][1] for q in found])
    assert 0 < every.min() < 0.3 < 0.7 < every.max() < 1

    stream = io.StringIO('{"query": "sort a list", "docs": ["sort the list", "open a file"]}\n')
    stream.isatty = lambda: False
    monkeypatch.setattr("sys.stdin", stream)
    capsys.readouterr()
    assert main([*given, "--scores", "probability"]) == 0
    answer = json.loads(capsys.readouterr().out)["ranking"]
    ranked = Reranker.load(home / "best", "cpu", "32").rank(
        "sort a list", ["sort the list", "open a file"], probability=True
    )
    assert [one["score"] for one in answer] == [one.score for one in ranked]


def test_what_cannot_be_calibrated_is_told(home, tmp_path, capsys):
    assert calibrate(home, "--unjudged", "skip", "--relevant", "3") == 1
    assert "5 folds need as many queries with documents that are relevant" in capsys.readouterr().err
    assert main(["calibrate", "--model", "someone/model", "--dataset", str(home / "data")]) == 1
    assert "--model must be a folder, where the map can be stored, got someone/model" in capsys.readouterr().err
    other = tmp_path / "other.trec"
    other.write_text("q0 Q0 d0 1 1.0 x\n")
    (tmp_path / "none").mkdir()
    for name in ("docs.jsonl", "queries.tsv"):
        (tmp_path / "none" / name).write_text((home / "data" / name).read_text())
    (tmp_path / "none" / "qrels.trec").write_text("q1 0 d0 1\n")
    given = ["--model", str(home / "best"), "--dataset", str(tmp_path / "none"), "--run", str(other)]
    assert main(["calibrate", *given]) == 1
    assert "share no query with documents" in capsys.readouterr().err


def test_probabilities_are_not_mixed(home, capsys):
    assert main(["rerank", "--model", str(home / "best"), "--scores", "probability", "--interpolate"]) == 1
    assert "leave out --interpolate and --weight" in capsys.readouterr().err


def test_queries_that_were_trained_on_calibrate_nothing(home, tmp_path, capsys):
    """Their ids and texts decide, not the names of the shares."""
    model = shutil.copytree(home / "best", tmp_path / "best")
    given = ["calibrate", "--model", str(model), "--run", "first", "--precision", "32", "--dataset"]
    replace(ModelSettings.read(model), trained_on=(f"{home / 'data'}[:50%]", "gone/train")).write(model)
    assert main([*given, str(home / "data")]) == 1
    told = capsys.readouterr().err
    assert "the model was trained on 6 of the 12 judged queries of" in told
    assert "or say --allow-overlap if it is meant" in told
    assert main([*given, str(home / "data"), "--allow-overlap"]) == 0
    assert main([*given, f"{home / 'data'}[50%:]", "--folds", "2"]) == 0
