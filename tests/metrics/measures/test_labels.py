"""Predictions measured against labelled lists: alignment with runs, means, conventions, and bad input."""

import logging
import math

import numpy as np
import pytest

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.io.labelled import LabelledLists
from ltr.io.runs import Run
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.labels import evaluate_labels, per_list, wide_regions

TRUTH = LabelledLists(["a", "b"], [0, 3, 5], [3.0, 1.0, 0.0, 2.0, 1.0], doc_ids=["x", "y", "z", "x", "y"])
PREDICTIONS = np.array([1.0, 2.0, 0.0, 1.0, 1.0])


def test_lists_are_averaged_and_documents_pooled():
    found = evaluate_labels(PREDICTIONS, TRUTH, ["ndcg_label@1", "ndcg_pooled@1", "mae_top.2"], "ours")
    # list a puts y (1 of 3) first; list b ties x and y: (2 + 1) / 2 of 2; over all, y of a (1 of 3)
    assert found.values["ndcg_label@1"] == pytest.approx([1 / 3, 3 / 4])
    assert found.means == pytest.approx({"ndcg_label@1": (1 / 3 + 3 / 4) / 2, "ndcg_pooled@1": 1 / 3, "mae_top.2": 2.0})
    assert found["mae_top.2"] == 2.0
    assert (found.run, found.query_ids, list(found.values)) == ("ours", ["a", "b"], ["ndcg_label@1"])


def test_without_cutoff_all_ranks_count():
    whole = per_list(_measure("ndcg_label"), PREDICTIONS, TRUTH)
    expected = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    assert whole[0] == pytest.approx(expected)


def _measure(text):
    from ltr.metrics.measures.label_measures import LabelMeasure

    return LabelMeasure.parse(text)


def test_gains_are_what_ndcg_sums_up():
    seconds = LabelledLists(["a"], [0, 2], np.log1p([9.0, 1.0]), gains=[9.0, 1.0])
    found = evaluate_labels(np.array([0.0, 1.0]), seconds, ["ndcg_label@1", "rmse"])
    assert found["ndcg_label@1"] == pytest.approx(1 / 9)
    assert found["rmse"] == pytest.approx(np.sqrt((np.log(10) ** 2 + (1 - np.log(2)) ** 2) / 2))
    assert "gain: the label before its transform" in found.conventions


def test_conventions_tell_tables_apart():
    found = evaluate_labels(PREDICTIONS, TRUTH, ["rmse_top.2", "spearman", "ndcg_label@5", "precision_top.2"])
    assert found.conventions == (
        "2 lists, 5 documents; pooled over all documents: rmse_top.2, spearman, precision_top.2; "
        "per list, then averaged: ndcg_label@5 (lists without gain count 0); top.2: labels >= 3 (1 documents), rest: "
        "others; errors in the unit of the labels, smaller is better; gain: the label; tied predictions share their mean "
        "gain; correlations: nan where one side is constant"
    )
    assert evaluate_labels(PREDICTIONS, TRUTH, "ndcg_pooled").conventions == (
        "2 lists, 5 documents; pooled over all documents: ndcg_pooled; gain: the label; tied predictions share their mean gain"
    )


def test_a_run_is_looked_up_in_the_order_of_the_labels():
    run = Run.from_dict({"b": {"y": 5.0, "x": 4.0}, "a": {"z": 3.0, "x": 1.0, "y": 2.0}})
    assert TRUTH.predictions(run).tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    with pytest.raises(DataError, match="run half: query b, document x has a label and no score"):
        TRUTH.predictions(Run.from_dict({"a": {"z": 3.0, "x": 1.0, "y": 2.0}}, "half"))


def test_what_cannot_be_measured():
    with pytest.raises(
        ShapeError, match=r"labels: offsets must rise from 0 .* 1 lists, offsets of shape \(3,\), 2 labels"
    ):
        LabelledLists(["a"], [0, 1, 2], [1.0, 2.0])
    with pytest.raises(ShapeError, match="1 document ids"):
        LabelledLists(["a"], [0, 2], [1.0, 2.0], doc_ids=["x"])
    with pytest.raises(ShapeError, match=r"needs a gain for each of 2 labels, got shape \(1,\)"):
        LabelledLists(["a"], [0, 2], [1.0, 2.0], [1.0])
    with pytest.raises(DataError, match="every label must be finite, got nan in list b"):
        LabelledLists(["a", "b"], [0, 1, 3], [1.0, 2.0, np.nan])
    with pytest.raises(DataError, match="every gain must be finite, got inf in list a"):
        LabelledLists(["a"], [0, 1], [1.0], [np.inf])
    with pytest.raises(ShapeError, match=r"labels: predictions and labels must be flat .*, got \(2,\) and \(5,\)"):
        evaluate_labels(np.ones(2), TRUTH, "rmse")
    with pytest.raises(DataError, match="labels: there are no documents to measure"):
        evaluate_labels(np.zeros(0), LabelledLists([], [0], []), "rmse")
    with pytest.raises(DataError, match="a gain must not be negative, got -1; ask for another measure"):
        evaluate_labels(np.ones(1), LabelledLists(["a"], [0, 1], [-1.0]), "ndcg_label@5")
    with pytest.raises(ConfigError, match="measure rmse pools the documents of all lists and has no value per list"):
        per_list(_measure("rmse"), PREDICTIONS, TRUTH)


def test_a_top_share_that_equal_labels_fill_is_told_once(caplog):
    """Nine of ten labels are equal: the top fifth is every document but none."""
    truth = LabelledLists(["a"], [0, 10], [0.0] * 9 + [1.0])
    with caplog.at_level(logging.WARNING):
        found = [evaluate_labels(np.arange(10.0), truth, ["rmse_top.2", "rmse_rest.2", "rmse_top.1"]) for _ in range(2)]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == (
        "rmse_top.2, rmse_rest.2: top.2 covers 100% of the documents, since so many labels are at least 0, the lowest of "
        "the top 20%, and nothing is left for rest"
    )
    assert "top.2: labels >= 0 (10 documents, 100% of all: many labels are equal), rest: others" in found[0].conventions
    assert "top.1: labels >= 1 (1 documents), rest: others" in found[0].conventions
    # a large share that was asked for is no surprise
    assert wide_regions([LabelMeasure.parse("rmse_top.8")], LabelledLists(["a"], [0, 10], np.arange(10.0))) == []
