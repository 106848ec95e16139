"""Vectors on disk: keyed by weights and content, whole after every interruption."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

from ltr.data.collections.collection import load
from ltr.errors import ConfigError, DataError
from ltr.io.trec import Run
from ltr.scorers import BiEncoder
from ltr.search import dense, encoding, index
from ltr.search.encoding import TextEncoding, encode
from ltr.search.index import VectorIndex
from tests.conftest import DOCS


@pytest.fixture(scope="session")
def model(bi_encoder):
    return TextEncoding.load(bi_encoder, precision="32")


@pytest.fixture
def collection(tiny_folder):
    return load(str(tiny_folder))


@pytest.fixture
def blocks(monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK", 3)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.endswith(".lock")}


def test_vectors_are_those_of_sentence_transformers(bi_encoder, model, collection, tmp_path):
    from sentence_transformers import SentenceTransformer

    assert encode(model, collection, tmp_path / "i") == len(DOCS)
    theirs = SentenceTransformer(str(bi_encoder), device="cpu").encode([text for _, text in collection.docs()])
    found = VectorIndex(tmp_path / "i")
    assert list(found.ids) == list(DOCS)
    assert np.concatenate(found.shards) == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_shards_are_the_whole_in_parts(model, collection, tmp_path, dtype):
    encode(model, collection, tmp_path / "one", dtype=dtype)
    for number in (3, 1, 2):  # in any order
        encode(model, collection, tmp_path / "three", (number, 3), dtype)
    one, three = VectorIndex(tmp_path / "one"), VectorIndex(tmp_path / "three")
    assert [len(shard) for shard in three.shards] == [2, 3, 3]
    assert list(three.ids) == list(one.ids)
    assert three.shards[0].dtype == dtype
    assert np.concatenate(three.shards) == pytest.approx(one.shards[0], abs=1e-3 if dtype == "float16" else 1e-6)


def test_vectors_beyond_float16_are_never_kept_as_infinite(tiny_model, collection, tmp_path):
    scorer = BiEncoder(str(tiny_model), similarity="dot")
    with torch.no_grad():
        scorer.network.encoder.layer[-1].output.LayerNorm.weight.mul_(1e6)
    large = TextEncoding(scorer, scorer.usual_settings(), precision="32")
    with pytest.raises(
        DataError, match=r"vectors have numbers up to .*, and float16 ends at 65504; encode with --dtype"
    ):
        encode(large, collection, tmp_path / "half", dtype="float16")
    assert encode(large, collection, tmp_path / "whole") == len(DOCS)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", range(9))
def test_killed_anywhere_it_goes_on_and_the_bytes_are_the_same(model, collection, tmp_path, monkeypatch, blocks, step):
    encode(model, collection, tmp_path / "whole")
    steps = iter(range(100))

    def mortal(act):
        def called(*args, **kwargs):
            if next(steps) == step:
                raise Killed
            done = act(*args, **kwargs)
            if next(steps) == step:
                raise Killed
            return done

        return called

    with monkeypatch.context() as patch:
        patch.setattr(index.VectorPart, "append", mortal(index.VectorPart.append))
        patch.setattr(index.os, "replace", mortal(os.replace))
        with pytest.raises(Killed):
            encode(model, collection, tmp_path / "again")
    encode(model, collection, tmp_path / "again")
    assert content(tmp_path / "again") == content(tmp_path / "whole")


@pytest.mark.parametrize("size", [0, 3, 127, 128, 129, 200, 128 + 3 * 128 + 5, 128 + 8 * 128])
def test_a_part_that_was_cut_off_at_any_byte_is_gone_on_with(model, collection, tmp_path, blocks, size):
    encode(model, collection, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    path = tmp_path / "cut" / "vectors-0001-of-0001.npy"
    kept = path.read_bytes()[:size]
    path.unlink()
    (tmp_path / "cut" / "vectors-0001-of-0001.npy.part").write_bytes(kept)
    encode(model, collection, tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_finished_blocks_are_not_encoded_again(model, collection, tmp_path, monkeypatch, blocks):
    real = index.VectorPart.append
    monkeypatch.setattr(index.VectorPart, "append", lambda part, vectors: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        encode(model, collection, tmp_path / "i")
    monkeypatch.setattr(index.VectorPart, "append", real)
    seen = []

    def counted(part, vectors):
        seen.append(len(vectors))
        real(part, vectors)

    monkeypatch.setattr(index.VectorPart, "append", counted)
    assert encode(model, collection, tmp_path / "i") == 8
    assert seen == [3, 3, 2]
    assert encode(model, collection, tmp_path / "i") == 0


def test_weights_decide_and_never_a_name(model, bi_encoder, collection, tmp_path):
    """A model that was trained on under the same name: its documents' vectors are others, and stale ones are refused."""
    named = tmp_path / "model"
    shutil.copytree(bi_encoder, named)
    before = TextEncoding.load(named, precision="32")
    assert before.signature == model.signature
    encode(before, collection, tmp_path / "i")
    scorer = BiEncoder(str(named))
    with torch.no_grad():
        next(iter(scorer.parameters()))[0, 0] += 0.5
    scorer.save(named, before.settings)
    trained = TextEncoding.load(named, precision="32")
    for use in (
        lambda: encode(trained, collection, tmp_path / "i"),
        lambda: dense.opened(trained, collection, tmp_path / "i"),
    ):
        with pytest.raises(DataError, match=r"index: .*was made from other weights .*\(weights .* there, .* here\)"):
            use()
    assert dense.cached(trained, collection).folder != dense.cached(before, collection).folder


@pytest.mark.parametrize(
    "change",
    [
        {"max_length": 30},
        {"max_query_length": 10},
        {"pooling": "first"},
        {"similarity": "dot"},
        {"doc_prompt": "search "},
        {"query_prompt": "search "},
    ],
)
def test_what_else_decides_a_vector_is_in_the_key(bi_encoder, model, change):
    scorer = BiEncoder(str(bi_encoder), **{k: v for k, v in change.items() if "length" not in k})
    settings = type(model.settings)(change.get("max_length", 40), change.get("max_query_length", 20))
    assert encoding.signature_of(scorer, settings) != model.signature


def test_another_tokenizer_of_the_same_weights_is_in_the_key(bi_encoder, model):
    scorer = BiEncoder(str(bi_encoder))
    assert encoding.signature_of(scorer, model.settings) == model.signature
    scorer.tokenizer.add_tokens(["xylophone"])
    assert encoding.signature_of(scorer, model.settings) != model.signature


def test_a_document_set_that_changed(model, collection, tiny_folder, tmp_path):
    encode(model, collection, tmp_path / "i")
    with open(tiny_folder / "docs.jsonl", "a") as file:
        file.write(json.dumps({"doc_id": "d9", "text": "new"}) + "\n")
    with pytest.raises(DataError, match="was made from other documents: the collection changed, or is another one"):
        dense.opened(model, load(str(tiny_folder)), tmp_path / "i")


def test_another_width(model, collection, bi_encoder, tmp_path):
    narrow = TextEncoding.load(bi_encoder, precision="32", width=8)
    encode(narrow, collection, tmp_path / "i")
    vectors = VectorIndex(tmp_path / "i").shards[0]
    assert vectors.shape == (8, 8)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    with pytest.raises(DataError, match=r"was made from another width of vectors \(width 8 there, 32 here\)"):
        dense.opened(model, collection, tmp_path / "i")
    with pytest.raises(ConfigError, match="encode: width must be from 1 to 32, all of a vector, got 33"):
        TextEncoding.load(bi_encoder, width=33)


def test_shards_that_are_missing(model, collection, tmp_path):
    encode(model, collection, tmp_path / "i", (2, 3))
    with pytest.raises(DataError, match=r"lacks 2 of its 3 shards \(1, 3\); finish them with ltr encode --shard 1/3"):
        VectorIndex(tmp_path / "i")
    with pytest.raises(DataError, match=r"was made from another number of shards \(shards 3 there, 2 here\)"):
        encode(model, collection, tmp_path / "i", (1, 2))
    with pytest.raises(ConfigError, match="encode: a shard is i/n with i from 1 to n, got 3/2"):
        encode(model, collection, tmp_path / "j", (3, 2))


def test_files_that_are_damaged(model, collection, tmp_path):
    folder = tmp_path / "i"
    with pytest.raises(DataError, match=r"holds no manifest.json; ltr encode writes an index"):
        VectorIndex(folder)
    encode(model, collection, folder)
    kept = (folder / "manifest.json").read_text()
    for text, message in (
        ("{", "manifest.json is damaged"),
        (json.dumps({"format": 7}), "must have format 1, got 7; encode anew with this ltr"),
        (json.dumps({"format": 1}), "manifest.json is damaged .KeyError: 'weights'"),
    ):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(DataError, match=message):
            VectorIndex(folder)
    (folder / "manifest.json").write_text(kept)
    np.save(folder / "vectors-0001-of-0001.npy", np.zeros((8, 31), np.float32))
    with pytest.raises(DataError, match=r"must be \[8, 32\], is \[8, 31\]; encode this shard anew"):
        VectorIndex(folder)
    np.save(folder / "vectors-0001-of-0001.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"is missing or damaged .*Python objects"):
        VectorIndex(folder)


def test_a_folder_of_something_else_is_left_alone(model, collection, tiny_folder):
    with pytest.raises(DataError, match=r"holds other files and no manifest.json; name a new folder"):
        encode(model, collection, tiny_folder)


def test_a_manifest_in_the_making_is_nothing_else(model, collection, tmp_path):
    """What a killed process left of it, or what another shard's process is writing at this moment."""
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / ".manifest.json.abcd_123.part").write_text("")
    assert encode(model, collection, tmp_path / "i") == len(DOCS)
    assert sorted(content(tmp_path / "i")) == ["ids-0001-of-0001.npy", "manifest.json", "vectors-0001-of-0001.npy"]


def test_dtypes_that_there_are_not(model, collection, tmp_path):
    with pytest.raises(ConfigError, match="index: dtype must be float32 or float16, got 'int8'"):
        encode(model, collection, tmp_path / "i", dtype="int8")


def test_nan_vectors_are_told_by_document(bi_encoder, collection, tmp_path):
    scorer = BiEncoder(str(bi_encoder))
    with torch.no_grad():
        scorer.network.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(
        DataError, match=r"encode: the vector of document d1 is not finite .8 such in this block.; the model"
    ):
        encode(TextEncoding(scorer.eval(), precision="32"), collection, tmp_path / "i")


def test_zero_vectors_under_cosine_are_told(model, caplog):
    model._checked(np.float32([[1, 0], [0, 0]]), "docs", ["a", "b"])
    assert (
        "encode: the vector of document b is zero (1 such in this block): its cosine with anything counts as 0"
        in caplog.text
    )


def test_a_cross_encoder_makes_no_vectors(tiny_model, tmp_path):
    from ltr.scorers import CrossEncoder
    from ltr.settings.texts import ModelSettings

    CrossEncoder(str(tiny_model)).save(tmp_path / "cross", ModelSettings(60, 20))
    with pytest.raises(ConfigError, match="encode: a bi-encoder is needed, whose texts are vectors, got CrossEncoder"):
        TextEncoding.load(tmp_path / "cross")


def test_a_model_that_says_nothing_of_vectors_is_told(tiny_model, bi_encoder, caplog):
    assert TextEncoding.load(tiny_model).scorer.pooling == "mean"
    assert (
        f"{tiny_model} does not say how it makes vectors (it has no modules.json): the mean of its states"
        in caplog.text
    )
    caplog.clear()
    TextEncoding.load(bi_encoder)
    assert not caplog.messages


def test_queries_are_encoded_too(model, collection, tmp_path):
    encode(model, collection, tmp_path / "q", what="queries")
    found = VectorIndex(tmp_path / "q")
    assert list(found.ids) == list(collection.queries)
    assert np.array_equal(found.shards[0], model.queries(collection.queries.values()))
    with pytest.raises(DataError, match="was made from other documents"):
        dense.opened(model, collection, tmp_path / "q")


# ------------------------------------------------------------------ retrieving


def test_retrieving_is_the_order_of_the_scorer(model, collection, tmp_path):
    encode(model, collection, tmp_path / "i", (1, 1))
    run, recall = dense.retrieve(model, dense.opened(model, collection, tmp_path / "i"), collection.queries, 5)
    assert recall is None
    docs = model.docs(text for _, text in collection.docs())
    for i, query_id in enumerate(collection.queries):
        scores = docs @ model.queries(collection.queries.values())[i]
        wanted = Run(["q"], [0, 8], list(DOCS), scores)["q"]
        assert run[query_id][0].tolist() == wanted[0][:5].tolist()
        assert run[query_id][1] == pytest.approx(wanted[1][:5], abs=1e-6)


def test_depth_beyond_the_collection_gives_all(model, collection):
    run, _ = dense.retrieve(model, dense.cached(model, collection), collection.queries, 50)
    assert all(len(run[q][0]) == 8 for q in run)


def test_a_query_without_text(model, collection):
    with pytest.raises(DataError, match=r"retrieve: query b has no text \(1 such\)"):
        dense.retrieve(model, dense.cached(model, collection), {"a": "x", "b": " "}, 5)


def test_approximate_indexes_are_passed_through_with_their_recall(model, collection):
    pytest.importorskip("faiss")
    found = dense.cached(model, collection)
    exact, _ = dense.retrieve(model, found, collection.queries, 3)
    flat, recall = dense.retrieve(model, found, collection.queries, 3, factory="Flat")
    assert recall == 1.0
    assert flat.to_dict() == exact.to_dict()
    _, recall = dense.retrieve(model, found, collection.queries, 3, factory="PCA1,SQ8")
    assert recall < 1
    for factory, options in (("nonsense", None), ("Flat", "nprobes=x")):
        with pytest.raises(ConfigError, match=f"retrieve: faiss refuses the index '{factory}'"):
            dense.retrieve(model, found, collection.queries, 3, factory=factory, search_options=options)
