"""The test part is the same for every cell, in whatever order a loader gave it."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from ltr.data.base import Part
from ltr.errors import DataError
from ltr.experiments.cells.truth import Truth
from ltr.io.runs import Run
from ltr.metrics import LabelledLists

QRELS = {"q1": {"a": 1, "b": 0}, "q2": {"c": 2}}
#: lists as a loader may give them: neither queries nor documents in order, one list empty
LISTS = LabelledLists(
    ["q2", "q10", "q1"], [0, 3, 3, 5], [2.0, 0.0, 1.0, 0.5, -1.0], [4.0, 0.0, 2.0, 1.0, 0.0], ["c", "e", "b", "b", "a"],
    lengths=np.array([7, 9, 5, 3, 1]),
)  # fmt: skip
RUN = Run(
    ["q1", "q2", "q10"], np.array([0, 3, 6, 6]), np.array(["a", "b", "z", "e", "c", "b"], object),
    np.array([9.0, 8.0, 7.0, 3.0, 2.0, 1.0]), "bm25",
)  # fmt: skip


def changed(truth, **values):
    """The same with some of its arguments changed."""
    names = (
        "query_ids",
        "offsets",
        "labels",
        "gains",
        "doc_ids",
        "unit",
        "gain_unit",
        "lengths",
        "qrels",
        "first",
        "mean",
    )
    return Truth(**{**{name: getattr(truth, name) for name in names}, **values})


@pytest.fixture
def truth():
    return Truth.of(SimpleNamespace(part=lambda name: Part(qrels=QRELS, first=RUN), mean_label=None), LISTS)[0]


def test_lists_and_documents_stand_in_the_order_of_their_ids(truth):
    _, order = Truth.of(SimpleNamespace(part=lambda name: Part(qrels=QRELS, first=None), mean_label=None), LISTS)
    assert truth.query_ids == ["q1", "q10", "q2"]
    assert truth.offsets.tolist() == [0, 2, 2, 5]
    assert truth.doc_ids == ["a", "b", "b", "c", "e"]
    assert truth.labels.tolist() == [-1.0, 0.5, 1.0, 2.0, 0.0]
    assert truth.gains.tolist() == [0.0, 1.0, 2.0, 4.0, 0.0]
    assert order.tolist() == [4, 3, 2, 0, 1]
    assert truth.lengths.tolist() == [1, 3, 5, 7, 9]
    assert truth.qrels == QRELS


def test_the_first_stage_is_looked_up_by_document(truth):
    assert truth.first.tolist() == [9.0, 8.0, 1.0, 2.0, 3.0], "z is in the run and not in the test part"


def test_features_have_no_first_stage():
    assert (
        Truth.of(SimpleNamespace(part=lambda name: Part(qrels=None, first=None), mean_label=None), LISTS)[0].first
        is None
    )


def test_any_order_of_the_loader_gives_the_same(truth):
    other = LabelledLists(
        ["q1", "q2", "q10"],
        [0, 2, 5, 5],
        [-1.0, 0.5, 1.0, 2.0, 0.0],
        [0.0, 1.0, 2.0, 4.0, 0.0],
        ["a", "b", "b", "c", "e"],
    )
    again, order = Truth.of(SimpleNamespace(part=lambda name: Part(qrels=QRELS, first=RUN), mean_label=None), other)
    assert again.same_as(truth)
    assert again.signature == truth.signature
    scores = np.arange(5.0)
    run = again.ranked(scores[order], "x")
    assert dict(zip(*map(np.ndarray.tolist, run["q2"]), strict=True)) == {"b": 2.0, "c": 3.0, "e": 4.0}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("qrels", [QRELS, None])
def test_it_comes_back_from_its_file(truth, first, qrels):
    known = {"first": truth.first, "lengths": truth.lengths} if first else {"first": None, "lengths": None}
    truth = changed(truth, qrels=qrels, **known, unit="log", gain_unit="s", mean=0.1)
    back = Truth.load(truth.dump(), "x.npz")
    assert back.same_as(truth)
    assert back.signature == truth.signature
    assert (back.query_ids, back.doc_ids, back.qrels) == (truth.query_ids, truth.doc_ids, qrels)
    assert (back.unit, back.gain_unit, back.mean) == ("log", "s", 0.1)
    for name in ("offsets", "labels", "gains", "first", "lengths"):
        ours, theirs = getattr(truth, name), getattr(back, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


CHANGES = {
    "a query": {"query_ids": ["q1", "q10", "q3"]},
    "a document": {"doc_ids": ["a", "b", "b", "c", "f"]},
    "a judgement": {"qrels": {**QRELS, "q2": {"c": 1}}},
    "no judgements": {"qrels": None},
    "the cuts": {"offsets": np.array([0, 2, 3, 5])},
    "a gain": {"gains": np.array([0.0, 1.0, 2.0, np.nextafter(4.0, 5.0), 0.0])},
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_makes_it_another(truth, what):
    other = changed(truth, **CHANGES[what])
    assert not truth.same_as(other)
    assert truth.signature != other.signature


def test_labels_in_another_unit_make_no_other(truth):
    other = changed(truth, labels=truth.labels * 3 + 1, unit="log(1 + seconds)", mean=2.0, gains=truth.gains * 1.0)
    assert truth.same_as(other)
    assert truth.signature == other.signature


def saved(save, *arrays, **named):
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()


NPY, OTHER = saved(np.save, np.zeros(2)), saved(np.savez, labels=np.zeros(2))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04broken", NPY, OTHER])
def test_a_file_that_is_none_is_told(content):
    with pytest.raises(DataError, match=r"truth/x.npz: not the test part of a benchmark: .*; remove the folder"):
        Truth.load(content, "truth/x.npz")


def test_a_file_that_was_damaged_is_told(truth):
    content = truth.dump()
    at = content.index(b"labels.npy") + 30
    for damaged in (content[:-40], content[:at] + b"\xff" * 20 + content[at + 20 :]):
        with pytest.raises(DataError, match="not the test part of a benchmark"):
            Truth.load(damaged, "x.npz")
