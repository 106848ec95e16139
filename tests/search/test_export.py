"""What the guide shows of vectors elsewhere: each snippet runs, and finds or writes what exact search has."""

import json
from pathlib import Path

import numpy as np
import pytest

from ltr.data.collections.collection import load
from ltr.scorers import Sparse
from ltr.search.dense import retrieve
from ltr.search.encoding import TextEncoding, encode
from ltr.search.export import write_parquet
from ltr.search.index import VectorIndex
from ltr.search.kinds import open_index
from ltr.settings import TwinSettings
from tests.guides import GUIDES, blocks
from tests.tiny_model import save_mlm

SNIPPETS = {b.title: b.text for b in blocks(GUIDES / "search.md") if b.language == "python" and b.title}


def written(tmp_path_factory, model, docs: str, queries: str) -> tuple[Path, list[str]]:
    """The folders that the guide's commands write, of a small collection, and the three nearest documents of its first query."""
    from tests.conftest import write_tiny

    folder = tmp_path_factory.mktemp("reader")
    collection = load(str(write_tiny(folder / "tiny")))
    encoding = TextEncoding.load(model, precision="32")
    encode(encoding, collection, folder / "runs" / docs)
    encode(encoding, collection, folder / "runs" / queries, what="queries")
    run, _ = retrieve(encoding, open_index(folder / "runs" / docs), collection.queries, 3)
    return folder, run[next(iter(run))][0].tolist()


@pytest.fixture(scope="module")
def place(tmp_path_factory, bi_encoder):
    return written(tmp_path_factory, bi_encoder, "vectors", "queries")


@pytest.fixture(scope="module")
def sparse_place(tmp_path_factory):
    home = tmp_path_factory.mktemp("model")
    Sparse(save_mlm(home)).save(home / "splade", TwinSettings(40, 20))
    folder, best = written(tmp_path_factory, home / "splade", "sparse", "sparse-queries")
    (home / "splade").rename(folder / "runs" / "splade")
    return folder, best


def run_snippet(name: str, place: Path, monkeypatch) -> dict:
    monkeypatch.chdir(place)
    names: dict = {}
    exec(compile(SNIPPETS[name], name, "exec"), names)
    return names


@pytest.mark.parametrize(
    ("name", "package"), [("usearch", "usearch"), ("lance", "lancedb"), ("qdrant", "qdrant_client")]
)
@pytest.mark.filterwarnings("ignore")  # theirs
def test_a_store_finds_what_exact_search_finds(name, package, place, monkeypatch):
    pytest.importorskip(package)
    if name == "lance":
        write_parquet(VectorIndex(place[0] / "runs" / "vectors"), 0)
    assert run_snippet(f"to_{name}.py", place[0], monkeypatch)["found"] == place[1]


@pytest.mark.filterwarnings("ignore")  # theirs
def test_a_store_of_sparse_vectors_finds_what_exact_search_finds(sparse_place, monkeypatch):
    pytest.importorskip("qdrant_client")
    assert run_snippet("to_qdrant_sparse.py", sparse_place[0], monkeypatch)["found"] == sparse_place[1]


def test_words_and_weights_for_bulk_requests(sparse_place, monkeypatch):
    names = run_snippet("to_sparse_bulk.py", sparse_place[0], monkeypatch)["names"]
    lines = list(map(json.loads, (sparse_place[0] / "runs" / "sparse.ndjson").read_text().splitlines()))
    index = open_index(sparse_place[0] / "runs" / "sparse")
    assert [line["index"]["_id"] for line in lines[::2]] == list(index.ids)
    rows = np.concatenate([block.toarray() for _, block in index.shards[0].blocks(100)])
    assert (names[41], names[97]) == ("[dot]", "join")
    for line, row in zip(lines[1::2], rows, strict=True):
        assert line["splade"] == {names.get(word, f"[{word}]"): row[word] for word in np.flatnonzero(row)}


def test_sparse_vectors_as_parquet(sparse_place):
    import pyarrow.parquet as pq

    index = open_index(sparse_place[0] / "runs" / "sparse")
    table = pq.read_table(write_parquet(index, 0))
    assert table["doc_id"].to_pylist() == list(index.ids)
    rows = np.concatenate([block.toarray() for _, block in index.shards[0].blocks(100)])
    assert table["words"].to_pylist() == [np.flatnonzero(row).tolist() for row in rows]
    assert table["weights"].to_pylist() == [row[row != 0].tolist() for row in rows]


def test_lines_for_bulk_requests(place, monkeypatch):
    run_snippet("to_bulk.py", place[0], monkeypatch)
    lines = list(map(json.loads, (place[0] / "runs" / "bulk.ndjson").read_text().splitlines()))
    index = VectorIndex(place[0] / "runs" / "vectors")
    assert [line["index"]["_id"] for line in lines[::2]] == list(index.ids)
    assert np.array_equal(np.float32([line["vector"] for line in lines[1::2]]), index.shards[0])


def test_documents_for_vespa(place, monkeypatch):
    run_snippet("to_vespa.py", place[0], monkeypatch)
    lines = list(map(json.loads, (place[0] / "runs" / "vespa.jsonl").read_text().splitlines()))
    index = VectorIndex(place[0] / "runs" / "vectors")
    assert [line["put"] for line in lines] == [f"id:docs:doc::{name}" for name in index.ids]
    assert np.array_equal(np.float32([line["fields"]["vector"]["values"] for line in lines]), index.shards[0])


def test_rows_for_pgvector(place, monkeypatch):
    run_snippet("to_pgvector.py", place[0], monkeypatch)
    rows = [line.split("\t") for line in (place[0] / "runs" / "pgvector.tsv").read_text().splitlines()]
    index = VectorIndex(place[0] / "runs" / "vectors")
    assert [row[0] for row in rows] == list(index.ids)
    assert np.array_equal(np.float32([json.loads(row[1]) for row in rows]), index.shards[0])


def test_every_snippet_of_the_guide_is_run_here():
    kinds = ("usearch", "lance", "qdrant", "bulk", "vespa", "pgvector", "qdrant_sparse", "sparse_bulk")
    assert set(SNIPPETS) == {f"to_{name}.py" for name in kinds}
