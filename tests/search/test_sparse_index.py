"""Sparse vectors on disk: words and weights alone, whole after every interruption, found by their products."""

import os
import shutil

import numpy as np
import pytest

from ltr.data.collections.collection import load
from ltr.errors import ConfigError, DataError
from ltr.io.runs import Run
from ltr.scorers import Sparse
from ltr.search import dense, encoding, index, sparse_index
from ltr.search.encoding import TextEncoding, encode
from ltr.search.kinds import open_index
from ltr.search.sparse_index import SparseIndex
from ltr.settings import TwinSettings
from tests.conftest import DOCS
from tests.search.test_encoding import Killed, content
from tests.tiny_model import save_mlm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny sparse encoder, saved."""
    place = tmp_path_factory.mktemp("sparse")
    Sparse(save_mlm(place)).save(place / "model", TwinSettings(40, 20))
    return place / "model"


@pytest.fixture(scope="module")
def model(folder):
    return TextEncoding.load(folder, precision="32")


@pytest.fixture
def collection(tiny_folder):
    return load(str(tiny_folder))


@pytest.fixture
def blocks(monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK", 3)
    monkeypatch.setattr(encoding, "DENSE", 2)


def matrix(found: SparseIndex) -> np.ndarray:
    return np.concatenate([block.toarray() for shard in found.shards for _, block in shard.blocks(5)])


def test_weights_are_those_of_sentence_transformers(folder, model, collection, tmp_path):
    theirs = pytest.importorskip("sentence_transformers").SparseEncoder(str(folder), device="cpu")
    assert encode(model, collection, tmp_path / "i") == len(DOCS)
    found = open_index(tmp_path / "i")
    assert isinstance(found, SparseIndex)
    wanted = theirs.encode_document([text for _, text in collection.docs()]).to_dense().numpy()
    np.testing.assert_allclose(matrix(found), wanted, rtol=1e-5, atol=1e-5)
    assert found.n_weights == (wanted != 0).sum() < wanted.size
    assert list(found.ids) == list(DOCS)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_shards_are_the_whole_in_parts(model, collection, tmp_path, blocks, dtype):
    encode(model, collection, tmp_path / "one", dtype=dtype)
    for number in (3, 1, 2):  # in any order
        encode(model, collection, tmp_path / "three", (number, 3), dtype)
    one, three = open_index(tmp_path / "one"), open_index(tmp_path / "three")
    assert [len(shard) for shard in three.shards] == [2, 3, 3]
    assert list(three.ids) == list(one.ids)
    assert three.shards[0].weights.dtype == dtype
    assert matrix(three) == pytest.approx(matrix(one), abs=1e-2 if dtype == "float16" else 1e-5)


@pytest.mark.parametrize("step", range(14))
def test_killed_anywhere_it_goes_on_and_the_bytes_are_the_same(model, collection, tmp_path, monkeypatch, blocks, step):
    """Between any two of its writes: of words, weights and ends, of the manifest and the ids, and of the renames."""
    encode(model, collection, tmp_path / "whole")
    steps = iter(range(100))

    def mortal(act):
        def called(*args, **kwargs):
            if next(steps) == step:
                raise Killed
            return act(*args, **kwargs)

        return called

    with monkeypatch.context() as patch:
        patch.setattr(sparse_index, "appended", mortal(index.appended))
        patch.setattr(index.os, "replace", mortal(os.replace))
        with pytest.raises(Killed):
            encode(model, collection, tmp_path / "again")
    encode(model, collection, tmp_path / "again")
    assert content(tmp_path / "again") == content(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["words", "weights", "ends"])
@pytest.mark.parametrize("size", [0, 5, 128, 141, 190, 400])
def test_a_file_that_was_cut_off_at_any_byte_is_gone_on_with(model, collection, tmp_path, blocks, kind, size):
    encode(model, collection, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for path in list((tmp_path / "cut").glob("*-0001-of-0001.npy")):
        if not path.name.startswith("ids"):
            path.rename(f"{path}.part")
    part = tmp_path / "cut" / f"{kind}-0001-of-0001.npy.part"
    part.write_bytes(part.read_bytes()[:size])
    encode(model, collection, tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_finished_blocks_are_not_encoded_again(model, collection, tmp_path, monkeypatch, blocks):
    seen = []
    append = sparse_index.SparsePart.append

    def counted(part, vectors):
        if len(seen) == 1 and not (tmp_path / "again").exists():
            raise Killed
        seen.append(vectors.shape[0])
        append(part, vectors)

    monkeypatch.setattr(sparse_index.SparsePart, "append", counted)
    with pytest.raises(Killed):
        encode(model, collection, tmp_path / "i")
    (tmp_path / "again").touch()
    assert encode(model, collection, tmp_path / "i") == 5
    assert seen == [3, 3, 2]
    assert encode(model, collection, tmp_path / "i") == 0


def test_nothing_on_the_disk_is_pickled(model, collection, tmp_path):
    encode(model, collection, tmp_path / "i")
    arrays = sorted((tmp_path / "i").glob("*.npy"))
    assert [path.name.partition("-")[0] for path in arrays] == ["ends", "ids", "weights", "words"]
    assert [np.load(path, allow_pickle=False).dtype.kind for path in arrays] == ["i", "S", "f", "i"]


def test_retrieving_is_the_order_of_the_scorer(model, collection, tmp_path):
    encode(model, collection, tmp_path / "i")
    run, recall = dense.retrieve(model, dense.opened(model, collection, tmp_path / "i"), collection.queries, 5)
    assert recall is None
    docs = model.docs(text for _, text in collection.docs()).toarray()
    for i, query_id in enumerate(collection.queries):
        scores = docs @ model.queries(collection.queries.values()).toarray()[i]
        wanted = Run(["q"], [0, 8], list(DOCS), scores)["q"]
        assert run[query_id][0].tolist() == wanted[0][:5].tolist()
        assert run[query_id][1] == pytest.approx(wanted[1][:5], rel=1e-5)


def test_what_does_not_fit_is_refused(model, collection, bi_encoder, folder, tmp_path):
    encode(model, collection, tmp_path / "i")
    found = dense.opened(model, collection, tmp_path / "i")
    with pytest.raises(
        ConfigError, match=r"the index 'Flat' of faiss holds vectors of a bi-encoder; .*leave --faiss out"
    ):
        dense.retrieve(model, found, collection.queries, 5, factory="Flat")
    with pytest.raises(ConfigError, match="width keeps the first numbers of a bi-encoder's vectors; those of Sparse"):
        TextEncoding.load(folder, width=8)
    other = TextEncoding.load(bi_encoder, precision="32")
    with pytest.raises(DataError, match="was made from another width of vectors"):
        dense.opened(other, collection, tmp_path / "i")
    place = tmp_path / "i" / "ends-0001-of-0001.npy"
    ends = np.load(place)
    np.save(place, ends[::-1])
    with pytest.raises(DataError, match=r"words-0001-of-0001.npy must be \[\d+\], is \[\d+\]; encode this shard anew"):
        open_index(tmp_path / "i")
    ends[3] = ends[0]
    np.save(place, ends)
    with pytest.raises(DataError, match=r"ends-0001-of-0001.npy is damaged .rows end before they begin"):
        open_index(tmp_path / "i")
    place.unlink()
    with pytest.raises(DataError, match="lacks 1 of its 1 shards"):
        open_index(tmp_path / "i")


def test_texts_whose_words_weigh_nothing_are_told(model, caplog, monkeypatch):
    monkeypatch.setattr(model, "_computed", lambda texts, what: np.float32([[0.5, 0], [0, 0]]))
    monkeypatch.setattr(model, "width", 2)
    assert model.docs(["a", "b"], ["d1", "d2"]).nnz == 1
    assert (
        "the vector of document d2 is zero (1 such in this block): no word weighs anything, so it is never found"
        in (caplog.text)
    )
    monkeypatch.setattr(model, "_computed", lambda texts, what: np.float32([[0.5, 0], [0, np.nan]]))
    with pytest.raises(DataError, match=r"the vector of query q2 is not finite \(1 such in this block\)"):
        model.queries(["a", "b"], ["q1", "q2"])
