"""A run of nearest documents goes into its file block by block, and is gone on with."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from ltr.cli.main import main
from ltr.data.collections.collection import load
from ltr.errors import DataError
from ltr.io.trec import read_run, write_run
from ltr.search import into_file
from ltr.search.dense import cached, retrieve
from ltr.search.encoding import TextEncoding
from ltr.search.into_file import retrieve_into
from ltr.search.written import Written

WORDS = ["join", "two", "paths", "split", "string", "file", "read", "sort", "list", "the"]


@pytest.fixture(scope="module")
def setting(tmp_path_factory, bi_encoder):
    """(an encoding, its index, a collection of 30 documents, 7 queries of which two are documents)."""
    folder, drawn = tmp_path_factory.mktemp("collection"), np.random.default_rng(0)
    docs = {f"d{i}": " ".join(drawn.choice(WORDS, 6)) for i in range(30)}
    (folder / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in docs.items()))
    asked = {f"q{i}": " ".join(drawn.choice(WORDS, 3)) for i in range(5)} | {d: docs[d] for d in ("d3", "d8")}
    (folder / "queries.tsv").write_text("".join(f"{q}\t{text}\n" for q, text in asked.items()))
    (folder / "qrels.test.trec").write_text("q0 0 d1 1\n")
    collection = load(f"{folder}/test")
    encoding = TextEncoding.load(bi_encoder, "cpu", "32")
    return encoding, cached(encoding, collection), collection, asked


class Stopped(BaseException):
    """In place of a signal."""


def stopping(after):
    """Something that looks for the documents of ``after`` blocks, and is interrupted in the next."""
    asked = []

    def search(encoding, index, queries, *rest):
        if len(asked) == after:
            raise Stopped
        asked.append(list(queries))
        return retrieve(encoding, index, queries, *rest)

    return search, asked


@pytest.mark.parametrize("name", ["out.trec", "out.trec.gz"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_goes_on_where_it_was_interrupted(setting, tmp_path, monkeypatch, caplog, name, after):
    caplog.set_level("INFO")
    queries = setting[3]
    whole = retrieve_into(tmp_path / f"whole-{name}", *setting[:3], queries, 4, block=2)
    assert whole == Written(7, 28, 0)
    search, _ = stopping(after)
    monkeypatch.setattr(into_file, "retrieve", search)
    with pytest.raises(Stopped):
        retrieve_into(tmp_path / name, *setting[:3], queries, 4, block=2)
    assert not (tmp_path / name).exists()
    partial = tmp_path / f"{name}.partial"
    assert partial.exists() == (after > 0), "nothing stands in an empty one"
    if after:
        assert len(partial.read_text().splitlines()) == 8 * after
        with open(partial, "a") as file:  # of the next block, when it was killed
            file.write("q9 Q0 d1 1 0.")
    search, asked = stopping(9)
    monkeypatch.setattr(into_file, "retrieve", search)
    caplog.clear()
    assert retrieve_into(tmp_path / name, *setting[:3], queries, 4, block=2) == whole
    ids = list(queries)
    assert asked == [ids[i : i + 2] for i in range(2 * after, 7, 2)], "nothing is looked for twice"
    assert (f"going on with {partial}: {2 * after} of 7 queries are done" in caplog.text) == (after > 0)
    opener = gzip.open if name.endswith(".gz") else open
    with opener(tmp_path / name) as a, opener(tmp_path / f"whole-{name}") as b:
        assert a.read() == b.read()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"whole-{name}"]


def test_it_is_the_run_that_is_given_in_memory(setting, tmp_path, caplog):
    encoding, index, collection, queries = setting
    retrieve_into(tmp_path / "out.trec", encoding, index, collection, queries, 4)
    found, _ = retrieve(encoding, index, queries, 5)
    kept = read_run(tmp_path / "out.trec")
    for query_id in queries:
        wanted = [d for d in found[query_id][0].tolist() if d != query_id][:4]
        assert kept[query_id][0].tolist() == wanted
    assert caplog.text.count("2 of 7 queries are documents of it, such as d3") == 1
    write_run(tmp_path / "again.trec", kept, "dense")
    assert (tmp_path / "again.trec").read_bytes() == (tmp_path / "out.trec").read_bytes()


def test_other_inputs_do_not_go_on_with_it(setting, tmp_path, monkeypatch):
    encoding, index, collection, queries = setting
    search, _ = stopping(1)
    with monkeypatch.context() as patch:
        patch.setattr(into_file, "retrieve", search)
        with pytest.raises(Stopped):
            retrieve_into(tmp_path / "out.trec", encoding, index, collection, queries, 4, block=2)
    before = (tmp_path / "out.trec.partial").read_bytes()
    for changed, k, other in (
        (queries, 3, "options"),
        ({**queries, "q0": "other"}, 4, "query texts"),
        (dict(reversed(queries.items())), 4, "query texts"),
    ):
        with pytest.raises(
            DataError, match=rf"retrieve: .*out.trec.partial was begun with another {other}; give the same"
        ):
            retrieve_into(tmp_path / "out.trec", encoding, index, collection, changed, k, block=2)
        assert (tmp_path / "out.trec.partial").read_bytes() == before
    with open(tmp_path / "out.trec.partial", "r+b") as file:
        file.truncate(20)
    with pytest.raises(DataError, match=r"out.trec.partial is shorter than out.trec.partial.json says .* delete it"):
        retrieve_into(tmp_path / "out.trec", encoding, index, collection, queries, 4, block=2)


def test_what_failed_before_its_first_block_is_begun_anew_with_other_inputs(setting, tmp_path):
    """Nothing is lost, and who mends a query need not delete an empty file."""
    with pytest.raises(DataError, match="query q1 has no text"):
        retrieve_into(tmp_path / "out.trec", *setting[:3], {"q0": "join", "q1": " "}, 4)
    assert retrieve_into(tmp_path / "out.trec", *setting[:3], {"q0": "join", "q1": "two"}, 4) == Written(2, 8, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["out.trec"]


def test_the_command_goes_on_and_says_how(setting, bi_encoder, tmp_path, monkeypatch, capsys):
    collection, out = setting[2], tmp_path / "out.trec"
    command = ["retrieve", "--model", str(bi_encoder), "--dataset", str(collection.name), "-o", str(out), "-k", "4"]

    def interrupted(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(into_file, "retrieve", interrupted)
        assert main(command) == 130
    assert "what is finished is kept; the same command goes on from here" in capsys.readouterr().err
    assert main(command) == 0
    # one query is judged
    assert f"{out}: 4 documents for 1 queries of {collection.name}" in capsys.readouterr().out
    assert main([*command[:-3], "-", "-k", "4"]) == 0
    assert capsys.readouterr().out == out.read_text()
