"""The batches of documents with features and of passages; that of texts is tested with its users."""

import numpy as np
import pytest
import torch

from ltr.batch import FeatureLists, PassageLists, TextLists
from ltr.errors import ShapeError
from ltr.inference.scoring import joined

OFFSETS = np.array([0, 2, 3])


def test_a_batch_from_arrays():
    batch = FeatureLists.of(
        np.arange(6).reshape(3, 2), OFFSETS, np.array([1, 0, 2]), np.array([1.0, 3.0]), ["a", "b"], ["x", "y", "z"]
    )
    assert (len(batch), batch.n_docs, batch.n_features) == (2, 3, 2)
    assert batch.features.dtype == batch.labels.dtype == torch.float32
    assert batch.weights.tolist() == [1.0, 3.0]
    assert batch.pad(batch.labels).tolist() == [[1.0, 0.0], [2.0, 0.0]]


def test_arrays_that_must_not_be_written_to_are_copied():
    features = np.eye(3, dtype=np.float32)
    features.flags.writeable = False
    batch = FeatureLists.of(features, OFFSETS)
    batch.features[0, 0] = 7
    assert features[0, 0] == 1


def test_joined_batches_hold_the_documents_of_both():
    one = FeatureLists.of(np.eye(3), OFFSETS, query_ids=["a", "b"], doc_ids=["x", "y", "z"])
    two = FeatureLists.of(np.zeros((1, 3)), np.array([0, 1]), query_ids=["c"], doc_ids=["x"])
    both = joined([one, two])
    assert isinstance(both, FeatureLists)
    assert both.features.tolist() == [*np.eye(3).tolist(), [0.0, 0.0, 0.0]]
    assert both.list_offsets.tolist() == [0, 2, 3, 4]
    assert both.query_ids == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("features", "labels", "weights", "sentence"),
    [
        (np.zeros(3), None, None, r"features must be \[documents, features\] with 3 documents, .* got \[3\]"),
        (np.zeros((2, 4)), None, None, r"features must be .* with 3 documents, as the lists hold, got \[2, 4\]"),
        (np.eye(3), np.zeros(2), None, r"labels must be \[3\], one per document, got \[2\]"),
        (np.eye(3), None, np.zeros(4), r"weights must be one per list \[2\] or per document \[3\], got \[4\]"),
    ],
)
def test_parts_that_do_not_fit_are_refused(features, labels, weights, sentence):
    with pytest.raises(ShapeError, match=f"FeatureLists: {sentence}"):
        FeatureLists.of(features, OFFSETS, labels, weights)


def passage_batch(**changes) -> PassageLists:
    """Two lists; documents of 2, 1 and 3 passages, of 1 to 6 tokens."""
    doc_offsets = np.array([0, 1, 3, 6, 10, 15, 21])
    given = {
        "input_ids": np.arange(21),
        "segment_ids": np.zeros(21),
        "doc_offsets": doc_offsets,
        "passage_offsets": np.array([0, 2, 3, 6]),
        "list_offsets": OFFSETS,
        "pooling": "max",
        "query_ids": ["a", "b"],
        "doc_ids": ["x", "y", "z"],
    }
    return PassageLists.of_passages(**{**given, **changes})


def test_passages_as_documents_and_back():
    batch = passage_batch(labels=np.array([1, 0, 2]))
    assert (len(batch), batch.n_docs) == (2, 3)
    assert batch.pad(batch.labels).tolist() == [[1.0, 0.0], [2.0, 0.0]]
    docs = batch.as_documents()
    assert type(docs) is TextLists
    assert docs.list_offsets.tolist() == [0, 3, 6]
    assert docs.lengths.tolist() == [1, 2, 3, 4, 5, 6]
    scores = torch.tensor([[4.0, 1.0, 2.0], [-3.0, -1.0, -2.0]])
    assert batch.pooled(scores).tolist() == [[4.0, 2.0], [-1.0, 0.0]]
    assert passage_batch(pooling="mean").pooled(scores).tolist() == [[2.5, 2.0], [-2.0, 0.0]]


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_passage_without_a_score_leaves_its_document_without_one(pooling, place):
    scores = torch.ones(2, 3)
    scores[0, place] = float("nan")
    assert passage_batch(pooling=pooling).pooled(scores).isnan().tolist() == [[True, False], [False, False]]


def test_no_documents_have_no_passages():
    empty = PassageLists(torch.tensor([0, 0]))
    assert empty.pooled(torch.zeros(1, 0)).shape == (1, 0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"list_offsets": np.array([0, 2])},
            "PassageLists: 3 documents have passages, but the lists hold 2, with no labels",
        ),
        (
            {"labels": np.zeros(6)},
            "PassageLists: 3 documents have passages, but the lists hold 3, with 6 labels",
        ),
        ({"passage_offsets": np.array([0, 2, 3, 5])}, "TextLists: 6 documents are encoded, but the lists hold 5"),
    ],
)
def test_passages_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ShapeError, match=sentence):
        passage_batch(**changes)


def test_a_batch_of_passages_moves_whole():
    moved = passage_batch(pooling="mean").to("meta")
    assert (moved.passage_offsets.device.type, moved.pooling) == ("meta", "mean")
