"""Plain folders as ir-datasets objects: forms of the files, and errors that name file and line."""

import bz2
import gzip
import json
import lzma
import os
import shutil
import threading

import ir_datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data.collections import docstore
from ltr.data.collections.collection import load
from ltr.data.collections.docstore import LineStore, read_docs
from ltr.data.collections.folder import FolderFiles, folder_dataset, read_queries
from ltr.data.collections.ids import Ids
from ltr.errors import DataError
from ltr.io.caching.cache_folder import cache_folder


def test_is_a_true_ir_datasets_object(tiny_folder):
    ds = folder_dataset(FolderFiles(tiny_folder))
    assert isinstance(ds, ir_datasets.Dataset)
    assert (ds.has_docs(), ds.has_queries(), ds.has_qrels(), ds.has_scoreddocs()) == (True, True, True, False)
    assert ds.docs_store().get("d3").text == "A sparse matrix holds mostly zeros."
    assert ds.docs.lookup(["d1", "nope"]).keys() == {"d1"}
    assert ds.docs[2].doc_id == "d3"
    assert [d.doc_id for d in ds.docs_iter()[1:4]] == ["d2", "d3", "d4"]
    assert ds.docs_count() == len(ds.docs) == 8
    assert ds.queries_dict()["q3"].default_text() == "join paths"
    assert ds.qrels_dict()["q1"]["d1"] == 2
    assert (ds.docs_path(), ds.queries_path(), ds.qrels_path()) == tuple(
        tiny_folder / n for n in ("docs.jsonl", "queries.tsv", "qrels.trec")
    )
    assert ds.qrels_defs() == {}
    with pytest.raises(KeyError):
        ds.docs_store().get("nope")


def test_all_forms_of_a_docs_file_give_the_same(tmp_path):
    json_lines = '{"doc_id": "a", "title": "T", "text": "one"}\n\n{"doc_id": "b", "text": "zwei ü", "url": "x"}\n'
    tabs = "\ufeffa\tT\tone\r\nb\tzwei ü\r\n"
    for name, text in {"docs.jsonl": json_lines, "docs.tsv": tabs}.items():
        for packed in (False, True):
            folder = tmp_path / f"{name}{packed}"
            folder.mkdir()
            data = text.encode()
            (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
            c = load(folder)
            assert list(c.docs()) == [("a", "T one"), ("b", "zwei ü")]


DOC = '{"doc_id": "a", "text": "x"}\n'
BAD_DOCS = {
    "json": (DOC + "{oops\n", r"docs.jsonl:2: a document line must be JSON, got '\{oops'"),
    "keys": (
        DOC + '{"_id": "b", "text": "x"}\n',
        r"docs.jsonl:2: a document is an object with doc_id, text .* got keys _id, text",
    ),
    "a key twice": (
        DOC + '{"doc_id": "b", "text": "x", "text": "y"}\n',
        r"docs.jsonl:2: a document line must be JSON, got .*the key 'text' stands there twice",
    ),
    "depth": (DOC + '{"a":' * 100_000 + "\n", r"docs.jsonl:2: a document line must be JSON, got .*it nests too deeply"),
    "list": ("[1]\n", r"docs.jsonl:1: a document is an object .* got list"),
    "type": ('{"doc_id": 7, "text": "x"}\n', r"docs.jsonl:1: doc_id must be a string, got 7"),
    "spaces": ('{"doc_id": "a b", "text": "x"}\n', r"docs.jsonl:1: doc_id must be one word, got 'a b'"),
    "empty id": ('{"doc_id": "", "text": "x"}\n', r"docs.jsonl:1: doc_id must be one word, got ''"),
    "twice": (
        DOC + "\n" + '{"doc_id": "b", "text": "y"}\n' + DOC,
        r"docs.jsonl:4: document id a stands on line 1 already",
    ),
    "bytes": (DOC.encode() + b'{"doc_id": "b", "text": "\xff"}\n', r"docs.jsonl:2: the text must be UTF-8"),
}


@pytest.mark.parametrize(("text", "message"), BAD_DOCS.values(), ids=BAD_DOCS)
def test_bad_docs_name_file_and_line(tmp_path, text, message):
    (tmp_path / "docs.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        load(tmp_path).texts(["a"])
    assert not [p for p in cache_folder("docs").iterdir() if p.name.endswith(".part")], "nothing half-made stays"


def test_bad_docs_tsv(tmp_path):
    (tmp_path / "docs.tsv").write_text("a\tone\nb\n")
    with pytest.raises(DataError, match=r"docs.tsv:2: a document line is doc_id<TAB>text or .* got 1 fields: 'b'"):
        load(tmp_path).texts(["a"])


def test_broken_gz(tmp_path):
    (tmp_path / "docs.jsonl.gz").write_bytes(gzip.compress(DOC.encode() * 50)[:-12])
    with pytest.raises(DataError, match=r"docs.jsonl.gz:\d+: the packed file is broken"):
        load(tmp_path).texts(["a"])


@pytest.mark.parametrize("line", ["q5 no tab", "q5\ttwo\ttabs", "\tno id"])
def test_bad_query_line(tiny_folder, line):
    with open(tiny_folder / "queries.tsv", "a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"queries.tsv:5: a query line is query_id<TAB>text, got "):
        _ = load(tiny_folder).queries


@pytest.mark.parametrize("line", ["qid\tquery", "id\ttext", "query-id\tTEXT", '"_id"\t"text"', "topic\ttitle"])
def test_a_header_of_queries_is_no_query(tmp_path, line):
    file = tmp_path / "queries.tsv"
    file.write_text(f"\n{line}\nq1\tcats\n")
    with pytest.raises(
        DataError, match=r"queries.tsv:2: the line .* names columns, and a file of queries has no such line"
    ):
        list(read_queries(file))
    file.write_text(f"q1\tcats\n{line}\n")  # on another line it may be one
    assert [query.query_id for query in read_queries(file)] == ["q1", line.split("\t")[0]]
    file.write_text("topic\tcats\nid\twhat is an id\n")
    assert len(list(read_queries(file))) == 2


@pytest.mark.parametrize(
    "line",
    ["id\ttext", "doc_id\ttitle\ttext", "DocNo\tcontents", "pid\tpassage", "_id\turl\tbody", "doc_id\ttext\tlang"],
)
def test_a_header_of_documents_is_no_document(tmp_path, line):
    file = tmp_path / "docs.tsv"
    file.write_text(f"{line}\nd1\tcats\n")
    with pytest.raises(
        DataError, match=r"docs.tsv:1: the line .* names columns, and a file of documents has no such line"
    ):
        list(read_docs(file))
    file.write_text(f"d1\tcats\n{line}\n")
    assert [doc.doc_id for _, doc in read_docs(file)] == ["d1", line.split("\t")[0]]


def test_query_id_twice(tiny_folder):
    with open(tiny_folder / "queries.tsv", "a") as file:
        file.write("q2\tonce more\n")
    with pytest.raises(DataError, match=r"queries.tsv:5: query id q2 stands on line 2 already"):
        _ = load(tiny_folder).queries


def test_bad_qrels_line(tiny_folder):
    (tiny_folder / "qrels.trec").write_text("q1 0 d1 1\nq1 0 d2 much\n")
    with pytest.raises(DataError, match=r"qrels.trec:2: the grade must be a whole number, got 'much'"):
        _ = load(tiny_folder).qrels


def test_folder_needs_one_docs_file(tiny_folder):
    shutil.copy(tiny_folder / "docs.jsonl", tiny_folder / "docs.tsv")
    with pytest.raises(DataError, match=r"must hold one docs file, found both docs.jsonl and docs.tsv"):
        load(tiny_folder)
    for path in tiny_folder.glob("docs.*"):
        path.unlink()
    with pytest.raises(DataError, match=r"must hold one docs file, found no documents; docs.jsonl"):
        load(tiny_folder)


def test_runs_of_a_split_go_by_their_bare_name(tiny_folder):
    shutil.copy(tiny_folder / "run.first.trec", tiny_folder / "run.bm25.dev.trec")
    assert set(load(f"{tiny_folder}/dev").runs) == {"first", "bm25", "bm25.dev"}
    assert set(load(f"{tiny_folder}/train").runs) == {"first", "bm25.dev"}


def test_equal_hashes_are_told_apart_by_id(tmp_path, monkeypatch):
    monkeypatch.setattr(docstore, "_hash", lambda doc_id: len(doc_id))
    (tmp_path / "docs.tsv").write_text("aa\tone\nbb\ttwo\nc\tthree\n")
    store = LineStore(tmp_path / "docs.tsv", "collide")
    assert {d.doc_id: d.text for d in store.get_many_iter(["bb", "aa", "c", "dd"])} == {
        "aa": "one",
        "bb": "two",
        "c": "three",
    }


def test_absent_documents_are_found_without_reading_texts(tmp_path, monkeypatch):
    (tmp_path / "docs.tsv").write_text("a\tone\nbb\ttwo\nü\tthree\n")
    store = load(tmp_path).dataset.docs_store()
    monkeypatch.setattr(LineStore, "at", None)
    monkeypatch.setattr(docstore, "CHUNK", 2)
    asked = ["x", "bb", "y", "a", "x", "ü", "bb"]
    assert list(store.absent(Ids.of(asked))) == ["x", "y", "x"]
    assert load(tmp_path).missing(asked) == ["x", "y"]
    assert store.absent(Ids.of([])) == []


def test_nothing_is_there_in_an_empty_store(tmp_path):
    (tmp_path / "docs.tsv").write_text("\n")
    assert load(tmp_path).missing(["a", "b", "a"]) == ["a", "b"]


def test_reading_many_texts_lets_go_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "docs.tsv").write_text("".join(f"d{i}\ttext {i}\n" for i in range(10)))
    store = load(tmp_path).dataset.docs_store()
    store.count()
    advice = []

    class Watched:
        """A memory map that notes what the system is told."""

        def __init__(self, text):
            self.text = text

        def __getitem__(self, place):
            return self.text[place]

        def __len__(self):
            return len(self.text)

        def madvise(self, what):
            advice.append(what)
            self.text.madvise(what)

    store._text = Watched(store._text)
    monkeypatch.setattr(docstore, "MANY", 5)
    assert len(store.get_many(["d1", "d2"])) == 2
    assert not advice
    for _ in range(2):
        assert {d: doc.text for d, doc in store.get_many([f"d{i}" for i in range(6)]).items()} == {
            f"d{i}": f"text {i}" for i in range(6)
        }
    assert len(advice) == 2


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6), st.text(max_size=20), max_size=20
    )
)
def test_any_text_comes_back(tmp_path_factory, docs):
    folder = tmp_path_factory.mktemp("any")
    lines = [json.dumps({"doc_id": d, "text": text}) + "\n" for d, text in docs.items()]
    (folder / "docs.jsonl").write_text("".join(lines))
    c = load(folder)
    order = [list(docs)[i] for i in np.random.default_rng(0).permutation(len(docs))]
    assert c.texts(order) == [docs[d] for d in order]
    assert c.n_docs == len(docs)


@pytest.mark.parametrize(("query_id", "wrong"), [("q 1", "must be one word"), ("#1", "must not begin with #")])
def test_a_query_id_that_no_run_could_hold_is_refused_at_once(tmp_path, query_id, wrong):
    (tmp_path / "queries.tsv").write_text(f"q\ttext\n{query_id}\ttext\n")
    with pytest.raises(DataError, match=rf"queries.tsv:2: query id '{query_id}' {wrong}"):
        list(read_queries(tmp_path / "queries.tsv"))


@pytest.mark.parametrize("name", ["docs.jsonl", "queries.tsv", "qrels.trec", "run.first.trec"])
def test_what_cannot_be_read_twice_is_refused_before_it_is_opened(tiny_folder, name):
    (tiny_folder / name).unlink()
    os.mkfifo(tiny_folder / name)
    with pytest.raises(DataError, match=rf"{name} must be a file, which can be read again; it is a pipe"):
        load(tiny_folder)
    (tiny_folder / name).unlink()
    (tiny_folder / name).symlink_to("gone")
    with pytest.raises(DataError, match=rf"{name} must .*; it is a link to gone, which is not there"):
        load(tiny_folder)
    (tiny_folder / name).unlink()
    (tiny_folder / name).symlink_to("/dev/null")
    with pytest.raises(DataError, match=rf"{name} must .*; it is a device"):
        load(tiny_folder)
    (tiny_folder / name).unlink()
    (tiny_folder / name).mkdir()
    with pytest.raises(DataError, match=rf"{name} must .*; it is a folder"):
        load(tiny_folder)


@pytest.mark.parametrize(("ending", "pack"), [(".bz2", bz2.compress), (".xz", lzma.compress), (".gz", gzip.compress)])
def test_packed_folders(tiny_folder, ending, pack):
    plain = load(tiny_folder)
    whole = list(plain.docs()), plain.queries, plain.qrels
    for name in ("docs.jsonl", "queries.tsv", "qrels.trec", "run.first.trec"):
        (tiny_folder / f"{name}{ending}").write_bytes(pack((tiny_folder / name).read_bytes()))
        (tiny_folder / name).unlink()
    packed = load(tiny_folder)
    assert (list(packed.docs()), packed.queries, packed.qrels) == whole
    assert packed.runs == {"first": tiny_folder / f"run.first.trec{ending}"}
    (tiny_folder / f"docs.jsonl{ending}").write_bytes(pack(b"x" * 99999)[:-9])
    with pytest.raises(DataError, match=rf"docs.jsonl{ending}:\d: the packed file is broken"):
        load(tiny_folder).n_docs  # noqa: B018


def test_queries_come_from_a_pipe_too(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=["q\ttext\n"])
    writer.start()
    assert list(read_queries(tmp_path / "pipe")) == [("q", "text")]
    writer.join()


def test_half_of_a_surrogate_pair_is_read_as_a_lost_character(tmp_path):
    (tmp_path / "docs.jsonl").write_text('{"doc_id": "a", "title": "\\ud83d", "text": "x \\ude00"}\n')
    c = load(tmp_path)
    assert list(c.docs()) == [("a", "\ufffd x \ufffd")]
    assert c.texts(["a"]) == ["\ufffd x \ufffd"]
    (tmp_path / "docs.jsonl").write_text('{"doc_id": "a\\ud83d", "text": "x"}\n')
    with pytest.raises(DataError, match=r"docs.jsonl:1: doc_id must be text of whole characters, and holds half of a"):
        load(tmp_path).n_docs  # noqa: B018
