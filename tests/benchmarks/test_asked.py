"""A language model asked for relevance beside BM25, small; what is finished is not done again."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks.quality import asked
from ltr.inference.reranker import Reranker
from ltr.scorers import CausalScorer
from tests.scorers.causal.tiny import save_tiny_causal


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three queries, of whose documents BM25 finds two."""
    place = tmp_path_factory.mktemp("small")
    docs = {"a": "join two paths", "b": "read a text file", "c": "join two lists", "d": "sort a text list"}
    rows = [json.dumps({"doc_id": name, "title": "", "text": text}) + "\n" for name, text in docs.items()]
    (place / "docs.jsonl").write_text("".join(rows))
    (place / "queries.tsv").write_text("1\tjoin two\n2\ttext\n3\tlist\n")
    (place / "qrels.trec").write_text("1 0 a 1\n2 0 b 1\n3 0 d 1\n")
    return place


def test_models_are_measured_on_the_same_candidates_once(folder, tmp_path, monkeypatch, capsys):
    model = str(save_tiny_causal(tmp_path / "tiny"))
    parts = ("unused", "unused", "{data}")
    monkeypatch.setattr(asked, "COLLECTIONS", {"small": parts, "other": parts})
    asking = CausalScorer(model, "Q: {query} D: {document} ?", yes="yes", no="no")
    monkeypatch.setattr(asked, "opened", lambda model, tokens: Reranker(asking, asking.usual_settings(tokens), "cpu"))
    options = [f"--model={model}", f"--data={folder}", f"--work={tmp_path / 'work'}", "--collections", "small"]
    options += ["--lists=0", "--asked-lists", "--depth=2", f"--output={tmp_path / 'results.json'}"]
    asked.main(options)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["system"] for row in rows] == [
        "random order",
        "BM25",
        "MiniLM, vectors as they come",
        "SmolLM2, as it comes",
    ]
    assert {row["queries"] for row in rows} == {3}
    chance, first, *models = rows
    assert first["difference"] is None
    # the relevant document at place 1 or 2, which is worth 1 or .63; all orders of a list of one are right
    assert 0.75 < chance["ndcg@10"] < 0.95
    assert chance["low"] is None
    for row in models:
        assert row["difference"] == pytest.approx(row["ndcg@10"] - first["ndcg@10"])
        assert row["processor seconds a query"] > 0
    assert capsys.readouterr().out.count("| small (3 queries) |") == 4
    monkeypatch.setattr(asked, "opened", None)  # nothing is reranked again
    asked.main(options)
    assert json.loads((tmp_path / "results.json").read_text())["rows"] == rows
    (tmp_path / "work" / "small").rename(tmp_path / "work" / "other")
    asked.main([*options, "--collections", "other", "--dev-queries=3"])
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["rows"] == [*rows, *({**row, "data": "other"} for row in rows)]
    assert {name: one["dev_queries"] for name, one in found["settings"].items()} == {"small": 16, "other": 3}


def test_each_way_trains_with_a_command_that_says_what_the_table_does(tmp_path, monkeypatch):
    typed = []
    monkeypatch.setattr(asked.subprocess, "run", lambda command, **_: typed.append(command[2:]))
    args = asked.argparse.Namespace(
        model="lm", data="D", work=str(tmp_path / "w"), lists=320, asked_lists=[48, 256], dev_queries=4, tokens=96
    )
    made = asked.models_of(args, "stackfaq")
    assert list(made)[2:] == [
        "MiniLM, trained on 320 lists",
        "SmolLM2, trained on 48 lists",
        "SmolLM2, trained on 256 lists",
    ]
    assert len({*made.values()}) == 5  # a model of fewer lists is not taken for one of more
    assert [next(o for o in command if "epoch_lists" in o) for command in typed] == [
        "--data.train_epoch_lists=320",
        "--data.train_epoch_lists=48",
        "--data.train_epoch_lists=256",
    ]
    for command in typed:
        assert command[:2] == ["ltr", "fit"]
        assert "--data.train=D/stackfaq/train[:90%]" in command
        assert "--data.dev=D/stackfaq/train[90%:]" in command


def test_the_readme_shows_the_results_that_are_kept():
    folder = asked.ROOT / "benchmarks" / "results" / "asked"
    rows = json.loads((folder / "results.json").read_text())["rows"]
    assert {row["data"] for row in rows} == set(asked.COLLECTIONS)
    assert (folder / "README.md").read_text().endswith(f"\n\n{asked.text_of(rows)}\n")


def test_chance_is_the_mean_over_orders_and_not_the_order_that_came():
    ranked = {f"d{i}": 10.0 - i for i in range(10)}
    collection = asked.argparse.Namespace(qrels={"1": {"d0": 1}})
    found = asked.by_chance(asked.Run.from_dict({"1": ranked}), collection)
    expected = (
        sum(1 / math.log2(place + 1) for place in range(1, 11)) / 10
    )  # .45, of which 20 orders have an error of .05
    assert abs(found - expected) < 0.16
