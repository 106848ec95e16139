"""Collections by name: what they hold, and what they say when asked for what they do not."""

import logging
import pickle

import ir_datasets
import pytest
from ir_datasets.formats import (
    BaseDocPairs,
    BaseDocs,
    BaseQrels,
    BaseQueries,
    BaseScoredDocs,
    GenericDocPair,
    GenericScoredDoc,
)

from ltr.data.collections.collection import Collection, load
from ltr.data.collections.downloads import reading
from ltr.errors import DataError


def test_folder_holds_what_was_written(tiny_folder):
    c = load(tiny_folder)
    assert c.n_docs == 8
    assert list(c.doc_ids()) == [f"d{i}" for i in range(1, 9)]
    assert c.queries["q3"] == "join paths"
    assert c.qrels["q1"] == {"d1": 2, "d2": 1}
    assert list(c.runs) == ["first"]
    assert c.has_qrels
    assert not c.has_scoreddocs
    assert not c.has_docpairs
    assert repr(c) == f"Collection({str(tiny_folder)!r})"


def test_texts_keep_order_and_repeats(tiny_folder):
    c = load(str(tiny_folder))
    assert c.texts(["d5", "d3", "d5"]) == [
        "Paths Join two paths with a slash.",
        "A sparse matrix holds mostly zeros.",
        "Paths Join two paths with a slash.",
    ]
    assert c.texts([]) == []
    assert dict(c.docs())["d5"] == c.texts(["d5"])[0]


def test_unknown_document_is_named(tiny_folder):
    with pytest.raises(DataError, match=r"no document with id 'd99'; run and judgements must speak of this collection"):
        load(tiny_folder).texts(["d1", "d99"])


def test_missing_names_each_once(tiny_folder):
    assert load(tiny_folder).missing(["x", "d1", "y", "x"]) == ["x", "y"]


def test_split_takes_its_queries_and_judgements(tiny_folder):
    c = load(f"{tiny_folder}/dev")
    assert list(c.queries) == ["q3", "q4"] == list(c.qrels)
    (tiny_folder / "queries.dev.tsv").write_text("q9\tsomething else\n")
    assert load(f"{tiny_folder}/dev").queries == {"q9": "something else"}


def test_signatures_tell_what_changed(tiny_folder):
    all_, dev = load(tiny_folder), load(f"{tiny_folder}/dev")
    assert all_.docs_signature == dev.docs_signature
    assert all_.signature != dev.signature
    with open(tiny_folder / "docs.jsonl", "a") as file:
        file.write('{"doc_id": "d9", "text": "one more"}\n')
    grown = load(tiny_folder)
    assert grown.docs_signature != all_.docs_signature
    assert grown.signature != all_.signature
    assert grown.n_docs == 9


def test_signature_belongs_to_content_not_to_place(tiny_folder, tmp_path):
    before = load(tiny_folder).signature
    tiny_folder.rename(tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").signature == before


@pytest.mark.parametrize("name", ["antqiue/train", "vaswanni"])
def test_unknown_name_gives_the_nearest_id(name):
    with pytest.raises(
        DataError, match=r"no collection .*did you mean '.*'\? A name is an ir-datasets id .* or the path"
    ):
        load(name)


def test_nonsense_gives_no_list_of_a_thousand_ids():
    with pytest.raises(DataError, match="no collection 'qqqqqqqqqq': A name is an ir-datasets id") as error:
        load("qqqqqqqqqq")
    assert len(str(error.value)) < 400


def test_unknown_split_of_a_folder(tiny_folder):
    with pytest.raises(DataError, match="no split 'tran'; did you mean 'train'"):
        load(f"{tiny_folder}/tran")


def test_unknown_split_of_pydocs():
    with pytest.raises(DataError, match="pydocs: no split 'tets'; did you mean 'test'"):
        load("pydocs/tets")


def test_no_judgements_names_the_splits(tiny_folder):
    (tiny_folder / "qrels.trec").unlink()
    with pytest.raises(DataError, match=r"has no judgements; splits of this folder: dev, train \(write .*/dev\)"):
        _ = load(tiny_folder).qrels


def test_no_queries(tiny_folder):
    (tiny_folder / "queries.tsv").unlink()
    with pytest.raises(DataError, match="has no queries"):
        _ = load(tiny_folder).queries


def test_no_scoreddocs_names_the_runs(tiny_folder):
    with pytest.raises(DataError, match="has no first-stage scores; the folder has the runs first"):
        load(tiny_folder).scoreddocs()


def test_no_docpairs(tiny_folder):
    with pytest.raises(DataError, match="has no training triples; train on lists"):
        load(tiny_folder).docpairs()


def test_ir_datasets_id_needs_no_download_to_be_named():
    c = load("beir/scifact/train")
    assert (c.has_qrels, c.has_docpairs) == (True, False)
    assert c.docs_signature == load("beir/scifact/test").docs_signature
    assert c.signature != load("beir/scifact/test").signature
    assert load("msmarco-passage/train").has_docpairs


class _Scored(BaseScoredDocs):
    def scoreddocs_iter(self):
        yield GenericScoredDoc("q", "b", 1.0)
        yield GenericScoredDoc("q", "a", 2.0)


class _Pairs(BaseDocPairs):
    def docpairs_iter(self):
        yield GenericDocPair("q", "a", "b")


class _Broken(BaseDocs, BaseQueries, BaseQrels):
    def docs_iter(self):
        raise OSError("no route to host")

    docs_count = docs_store = queries_iter = qrels_iter = docs_iter


def test_scoreddocs_and_docpairs_of_any_dataset():
    c = Collection("mine", ir_datasets.Dataset(_Scored(), _Pairs()), "d", "s")
    assert c.scoreddocs()["q"][0].tolist() == ["a", "b"]
    assert list(c.docpairs()) == [("q", "a", "b")]


@pytest.mark.parametrize(
    "ask",
    [lambda c: c.queries, lambda c: c.qrels, lambda c: c.texts(["a"]), lambda c: c.missing(["a"]), lambda c: c.n_docs],
)
def test_failed_download_becomes_a_sentence(ask):
    c = Collection("far/away", ir_datasets.Dataset(_Broken()), "d", "s")
    with pytest.raises(
        DataError, match=r"far/away: its \w+ could not be read \(OSError: no route to host\); ir-datasets"
    ):
        ask(c)


class _Late(_Broken):
    """Downloads when the first item is asked for, as generators do."""

    def docs_iter(self):
        raise OSError("no route to host")
        yield

    scoreddocs_iter = docpairs_iter = docs_iter

    def docs_store(self):
        return self

    def get_many(self, ids):
        raise OSError("no route to host")


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: list(c.docs()),
        lambda c: list(c.doc_ids()),
        lambda c: c.texts(["a"]),
        lambda c: c.missing(["a"]),
        lambda c: c.scoreddocs(),
        lambda c: list(c.docpairs()),
    ],
)
def test_a_download_that_fails_later_becomes_a_sentence_too(ask, monkeypatch):
    dataset = ir_datasets.Dataset(_Late())
    for kind in ("scoreddocs", "docpairs"):
        monkeypatch.setattr(dataset, f"has_{kind}", lambda: True)
        monkeypatch.setattr(dataset, f"{kind}_iter", _Late().docs_iter, raising=False)
    with pytest.raises(DataError, match=r"far/away: its [\w -]+ could not be read \(OSError: no route to host\)"):
        ask(Collection("far/away", dataset, "d", "s"))


def test_the_reason_is_one_line():
    import requests

    asked = requests.Request("GET", "http://there.invalid/file.gz").prepare()
    gone = requests.ConnectionError("Max retries exceeded with url: " + "x" * 999, request=asked)
    for error in (gone, RuntimeError("All download sources failed", [("one", gone), ("two", OSError())])):
        with (
            pytest.raises(
                DataError, match=r"its queries could not be read \(ConnectionError: no answer from there.invalid\)"
            ),
            reading("far/away", "queries"),
        ):
            raise error
    with pytest.raises(DataError, match=r"\(ValueError: a b x+ …\); ir-datasets"), reading("far/away", "queries"):
        raise ValueError("a\n  b " + "x" * 999)


@pytest.mark.parametrize(
    "ask", [lambda c: c.docs(), lambda c: c.n_docs, lambda c: c.texts([]), lambda c: c.missing([])]
)
def test_an_id_above_others_has_no_documents_and_names_them(ask):
    with pytest.raises(
        DataError, match=r"beir: this collection has no documents; below beir/ there are arguana, .* and \d+ more$"
    ):
        ask(load("beir"))


def test_attempts_to_download_are_not_logged(capsys):
    log = logging.getLogger("ir_datasets")
    heard = []
    handler = logging.Handler()
    handler.emit = heard.append
    log.addHandler(handler)
    try:
        log.warning("download error: 403")
        log.warning("Download failed: 403")
        log.warning("place the source here")
    finally:
        log.removeHandler(handler)
    assert [record.getMessage() for record in heard] == ["place the source here"]


def test_travels_to_worker_processes(tiny_folder):
    c = load(tiny_folder)
    c.texts(["d1"])  # opened here, and opened anew there
    assert pickle.loads(pickle.dumps(c)).texts(["d3"]) == ["A sparse matrix holds mostly zeros."]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "docs", "queries"),
    [
        ("scifact/train", 5183, 809),
        ("medquad/dev", 15809, 658),
        ("wikiqa/dev", 11406, 126),
        ("trec-dl-2021", 10553, 53),
        ("stackfaq/train", 719, 956),
    ],
)
def test_real_folders(shared_data, name, docs, queries):
    c = load(shared_data / name)
    assert (c.n_docs, len(c.queries), len(c.qrels)) == (docs, queries, queries)
    assert c.missing(d for judged in c.qrels.values() for d in judged) == []
