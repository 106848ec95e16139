"""Batches: which rows belong to which entries, padding, joining, moving."""

import numpy as np
import pytest
import torch

from ltr.batch import FeatureLists, Lists, TextLists, TokenRows, TwinLists
from ltr.errors import ShapeError

OFFSETS = np.array([0, 2, 3])


def test_a_batch_from_arrays():
    batch = FeatureLists.of(
        np.arange(6).reshape(3, 2), OFFSETS, np.array([1, 0, 2]), np.array([1.0, 3.0]), ["a", "b"], ["x", "y", "z"]
    )
    assert (len(batch), batch.n_docs, batch.n_rows, batch.n_features) == (2, 3, 3, 2)
    assert batch.features.dtype == batch.labels.dtype == torch.float32
    assert batch.weights.tolist() == [1.0, 3.0]
    assert batch.pad(batch.labels).tolist() == [[1.0, 0.0], [2.0, 0.0]]


def test_arrays_that_must_not_be_written_to_are_copied():
    features = np.eye(3, dtype=np.float32)
    features.flags.writeable = False
    batch = FeatureLists.of(features, OFFSETS)
    batch.features[0, 0] = 7
    assert features[0, 0] == 1


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


def test_values_that_are_not_one_per_document_are_refused():
    with pytest.raises(ShapeError, match=r"pad: values must be flat, one per document \(3\), got shape \(2,\)"):
        FeatureLists.of(np.eye(3), OFFSETS).pad(torch.zeros(2))


# ---------------------------------------------------------------------- rows that are passages


def passage_batch(**changes) -> TextLists:
    """Two lists; documents of 2, 1 and 3 passages, of 1 to 6 tokens."""
    given = {
        "input_ids": np.arange(21),
        "segment_ids": np.zeros(21),
        "offsets": np.array([0, 1, 3, 6, 10, 15, 21]),
        "passage_offsets": np.array([0, 2, 3, 6]),
        "list_offsets": OFFSETS,
        "pooling": "max",
        "query_ids": ["a", "b"],
        "doc_ids": ["x", "y", "z"],
    }
    return TextLists.of(**{**given, **changes})


def test_scores_of_passages_become_those_of_their_documents():
    batch = passage_batch(labels=np.array([1, 0, 2]))
    assert (len(batch), batch.n_docs, batch.n_rows, batch.size) == (2, 3, 6, 21)
    assert batch.pad(batch.labels).tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert batch.lengths.tolist() == [1, 2, 3, 4, 5, 6]
    scores = torch.tensor([4.0, 1.0, 2.0, -3.0, -1.0, -2.0])
    assert batch.scores(scores).tolist() == [[4.0, 2.0], [-1.0, 0.0]]
    assert passage_batch(pooling="mean").scores(scores).tolist() == [[2.5, 2.0], [-2.0, 0.0]]


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_passage_without_a_score_leaves_its_document_without_one(pooling, place):
    scores = torch.ones(6)
    scores[place] = float("nan")
    assert passage_batch(pooling=pooling).scores(scores).isnan().tolist() == [[True, False], [False, False]]


def test_no_documents_have_no_passages():
    empty = TextLists(torch.tensor([0, 0]), row_offsets=torch.tensor([0]))
    assert empty.scores(torch.zeros(0)).shape == (1, 0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"list_offsets": np.array([0, 2])},
            "TextLists: 3 documents are encoded, but the lists hold 2, with no labels",
        ),
        ({"labels": np.zeros(6)}, "TextLists: 3 documents are encoded, but the lists hold 3, with 6 labels"),
        ({"passage_offsets": np.array([0, 2, 3, 5])}, "TextLists: 6 passages are encoded, but the documents have 5"),
        (
            {"segment_ids": np.zeros(20)},
            r"TokenRows: ids and marks must be \[tokens\] .*, got \[21\], \[20\] and offsets from 0 to 21",
        ),
        ({"offsets": np.array([0, 1, 3, 6, 10, 15, 20])}, "TokenRows: .* offsets from 0 to 20"),
        ({"pooling": "median"}, "TextLists: pooling must be one of max, mean, got 'median'"),
    ],
)
def test_passages_that_do_not_fit_are_refused(changes, sentence):
    with pytest.raises(ShapeError, match=sentence):
        passage_batch(**changes)


def test_a_batch_moves_whole():
    moved = passage_batch(pooling="mean").to("meta")
    places = [moved.row_offsets, moved.tokens.ids, moved.tokens.marks, moved.tokens.offsets, moved.list_offsets]
    assert {tensor.device.type for tensor in places} == {"meta"}
    assert moved.pooling == "mean"


# ---------------------------------------------------------------------- rows that lists share


def twins(**changes) -> TwinLists:
    """Two queries over three shared documents, in-batch negatives: each list has all of them, its own first."""
    given = {
        "list_offsets": torch.tensor([0, 3, 6]),
        "labels": torch.tensor([1.0, 0, 0, 1, 0, 0]),
        "query_ids": ["a", "b"],
        "doc_ids": ["x", "y", "z", "y", "x", "z"],
        "queries": TokenRows.of(np.arange(3), np.zeros(3), np.array([0, 1, 3])),
        "docs": TokenRows.of(np.arange(6), np.zeros(6), np.array([0, 1, 3, 6])),
        "rows": torch.tensor([0, 1, 2, 1, 0, 2]),
    }
    return TwinLists(**{**given, **changes})


def test_shared_documents_are_rows_once_and_entries_of_many_lists():
    batch = twins()
    assert (len(batch), batch.n_docs, batch.n_rows, batch.size) == (2, 6, 3, 9)
    assert batch.scores(torch.tensor([5.0, 6.0, 7.0])).tolist() == [[5.0, 6.0, 7.0], [6.0, 5.0, 7.0]]
    assert batch.placed(torch.eye(3))[3].tolist() == [0.0, 1.0, 0.0]


def test_the_gradient_of_a_shared_row_is_the_sum_over_its_entries():
    values = torch.tensor([5.0, 6.0, 7.0], requires_grad=True)
    (twins().scores(values) * torch.tensor([[1.0, 10, 100], [1000, 1e4, 1e5]])).sum().backward()
    assert values.grad.tolist() == [1 + 1e4, 10 + 1000, 100 + 1e5]


# ---------------------------------------------------------------------- joined


def test_joined_batches_hold_the_documents_of_both_and_no_labels():
    one = FeatureLists.of(np.eye(3), OFFSETS, np.ones(3), np.ones(2), ["a", "b"], ["x", "y", "z"])
    two = FeatureLists.of(np.zeros((1, 3)), np.array([0, 1]), query_ids=["c"], doc_ids=["x"])
    both = Lists.cat([one, two])
    assert isinstance(both, FeatureLists)
    assert both.features.tolist() == [*np.eye(3).tolist(), [0.0, 0.0, 0.0]]
    assert both.list_offsets.tolist() == [0, 2, 3, 4]
    assert (both.query_ids, both.doc_ids) == (["a", "b", "c"], ["x", "y", "z", "x"])
    assert (both.labels, both.weights) == (None, None)


def test_a_batch_alone_is_joined_as_several_are():
    one = Lists.cat([FeatureLists.of(np.eye(3), OFFSETS, np.ones(3), np.ones(2))])
    assert (one.labels, one.weights, len(one)) == (None, None, 2)


def test_joined_batches_keep_what_is_shared_and_what_was_scored_before():
    prior = torch.arange(6.0)
    both = Lists.cat([twins(prior=prior), twins(prior=prior + 6)])
    assert both.rows.tolist() == [0, 1, 2, 1, 0, 2, 3, 4, 5, 4, 3, 5]
    assert both.prior.tolist() == list(range(12))
    assert (len(both.queries), both.docs.lengths.tolist()) == (4, [1, 2, 3, 1, 2, 3])
    assert both.scores(torch.arange(6.0))[3].tolist() == [4.0, 3.0, 5.0]


def test_documents_with_and_without_passages_can_be_joined():
    plain = TextLists.of(np.arange(2), np.zeros(2), np.array([0, 2]), np.array([0, 1]))
    both = Lists.cat([plain, passage_batch()])
    assert both.row_offsets.tolist() == [0, 1, 3, 4, 7]
    scores = torch.tensor([9.0, 4.0, 1.0, 2.0, -3.0, -1.0, -2.0])
    assert both.scores(scores).tolist() == [[9.0, 0.0], [4.0, 2.0], [-1.0, 0.0]]


@pytest.mark.parametrize(
    "batches",
    [
        [],
        [passage_batch(), passage_batch(pooling="mean")],
        [Lists(torch.tensor([0])), passage_batch()],
        [twins(), twins(prior=torch.zeros(6))],
    ],
    ids=["none", "poolings", "kinds", "prior"],
)
def test_batches_that_do_not_go_together_are_refused(batches):
    with pytest.raises(ShapeError, match="cat: batches must be of one kind and pooling, with or without prior"):
        Lists.cat(batches)


@pytest.mark.parametrize("offsets", [np.array([1, 3]), np.array([0, 4, 3]), np.array([], np.int64), np.zeros((2, 2))])
def test_offsets_that_do_not_rise_from_0_are_refused(offsets):
    with pytest.raises(ShapeError, match="FeatureLists: list_offsets must start at 0 and never fall, got "):
        FeatureLists.of(np.eye(3), offsets)
    with pytest.raises(ShapeError, match="TextLists: list_offsets must start at 0 and never fall, got "):
        TextLists.of(np.arange(3), np.zeros(3), np.arange(4), offsets)
    with pytest.raises(ShapeError, match="TokenRows: offsets must start at 0 and never fall, got "):
        TokenRows.of(np.arange(3), np.zeros(3), offsets)


def test_a_document_without_a_passage_is_refused():
    with pytest.raises(ShapeError, match=r"passage_offsets must start at 0 and rise with each step, got \[0, 0, 3\]"):
        TextLists.of(np.arange(3), np.zeros(3), np.arange(4), np.array([0, 2]), passage_offsets=np.array([0, 0, 3]))


def test_ids_that_are_numbers_become_texts():
    batch = FeatureLists.of(np.eye(3), OFFSETS, query_ids=np.array([7, 8]), doc_ids=[1, 2, 3])
    assert (batch.query_ids, batch.doc_ids) == (["7", "8"], ["1", "2", "3"])
    texts = TextLists.of(np.arange(3), np.zeros(3), np.arange(4), OFFSETS, query_ids=[7, 8], doc_ids=np.arange(3))
    assert (texts.query_ids, texts.doc_ids) == (["7", "8"], ["0", "1", "2"])
