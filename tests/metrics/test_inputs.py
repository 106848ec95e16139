"""What callers give as runs and judgements: taken, or refused with the place; ids that never meet are told."""

import logging
import unicodedata

import numpy as np
import pytest

from ltr.errors import DataError
from ltr.io.runs import Run
from ltr.metrics.engine import evaluate
from ltr.metrics.inputs import differing

RUN = Run.from_dict({"q": {"a": 2.0, "b": 1.0}}, "mine")


@pytest.mark.parametrize("engine", ["numpy", "ranx"])
def test_dicts_and_whole_numbers_are_taken(engine):
    expected = {"mrr": 0.5}
    assert evaluate({"q": {"a": 2.0, "b": 1.0}}, {"q": {"b": 1}}, "mrr", engine).means == expected
    assert evaluate({1: {10: 2, 11: 1.0}}, {1: {11: 1}}, "mrr", engine).means == expected
    assert evaluate({"1": {"10": 2.0, "11": 1.0}}, {np.int64(1): {np.int64(11): 1}}, "mrr", engine).means == expected
    assert evaluate(RUN, {"q": {"b": 1.0, "a": np.float32(0)}}, "mrr", engine).means == expected
    assert evaluate(RUN, {"q": {"b": True, "a": False}}, "mrr", engine).means == expected


@pytest.mark.parametrize(
    ("run", "qrels", "message"),
    [
        (RUN, {"p": {"a": 1}, "q": {"b": 0.5}}, r"query q, document b: the grade must be a whole number, got 0\.5; real"),
        (RUN, {"q": {"a": 1.0, "b": float("nan")}}, "query q, document b: the grade must be a whole number, got nan"),
        (RUN, {"q": {"b": float("inf")}}, "query q, document b: the grade must be a whole number, got inf"),
        (RUN, {"q": {"a": 1, "b": "2"}}, "query q, document b: the grade must be a whole number, got '2'"),
        (RUN, {"q": {"b": None}}, "query q, document b: the grade must be a whole number, got None"),
        (RUN, {"q": {"a": [1], "b": [2]}}, r"query q, document a: the grade must be a whole number, got \[1\]"),
        (RUN, {"q": {"a": 1, "b": [2, 3]}}, r"query q, document b: the grade must be a whole number, got \[2, 3\]"),
        (RUN, "qrels.trec", r"judgements must be {query id: {document id: grade}}, got str 'qrels.trec'; .*read_qrels reads"),
        (RUN, {"q": ["b"]}, r"judgements must be {query id: {document id: grade}}, got \['b'\] for query q"),
        (RUN, {1.0: {"b": 1}}, r"judgements: query ids must be text or whole numbers, got 1\.0"),
        (RUN, {"q": {None: 1}}, "judgements: query q: document ids must be text or whole numbers, got None"),
        (RUN, {"q": {"1": 1, 1: 2}}, "judgements: query q: document 1 stands there as text and as a number; keep one"),
        ("run.trec", {"q": {"b": 1}}, r"run run: a run must be {query id: {document id: score}}, got str 'run.trec'; .*read_run"),
        ({"q": {"b": None}}, {"q": {"b": 1}}, "run run: query q, document b: a score must be a number, got None"),
    ],
)  # fmt: skip
def test_what_would_pass_silently_is_refused(run, qrels, message):
    with pytest.raises(DataError, match=f"^(evaluate: )?{message}"):
        evaluate(run, qrels, "mrr")


NFC = "caf\xe9"
NFD = unicodedata.normalize("NFD", NFC)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (["D1"], ["d1"], "'D1' and 'd1' differ in letter case only"),
        ([NFD], [NFC], r"'cafe\u0301' and 'caf\xe9' differ in Unicode form (NFC, NFD) only"),
        (["d1 "], ["d1"], "'d1 ' and 'd1' differ in blanks only"),
        ([NFD.upper()], [NFC], r"'CAFE\u0301' and 'caf\xe9' differ in letter case, Unicode form or blanks only"),
        (["d1", "d2"], ["d1", "x"], None),
    ],
)
def test_ids_that_differ_in_form(ours, theirs, said):
    assert differing(ours, theirs) == said


def test_documents_that_never_meet_are_told(caplog):
    run = Run.from_dict({"q": {"D1": 2.0, "D7": 1.0}}, "mine")
    with caplog.at_level(logging.WARNING):
        found = evaluate(run, {"q": {"d1": 1, "d2": 0}}, "mrr")
    told = "run mine holds none of the 2 judged documents, and ids such as 'D1' and 'd1' differ in letter case only"
    assert found.doubts == [told] == [r.getMessage() for r in caplog.records]
    assert found.conventions.endswith(f"; beware: {told}")
    other = evaluate(run, {"q": {"x9": 1}}, "mrr")
    assert other.doubts == [
        "run mine holds none of the 1 judged documents (query q: 'D1' in the run, 'x9' in the judgements), so look whether "
        "both name documents of one collection"
    ]


def test_queries_that_differ_in_form_are_told():
    run = Run.from_dict({"q1": {"a": 1.0}, "Q2": {"a": 1.0}}, "mine")
    assert evaluate(run, {"q1": {"a": 1}, "q2": {"a": 1}}, "mrr").doubts == [
        "1 judged queries are not in run mine, where ids such as 'Q2' and 'q2' differ in letter case only"
    ]
    with pytest.raises(DataError, match=r"share no query; .*; 'Q2' and 'q2' differ in letter case only"):
        evaluate({"Q2": {"a": 1.0}}, {"q2": {"a": 1}}, "mrr")


def test_runs_that_meet_their_judgements_raise_no_doubt():
    assert evaluate(RUN, {"q": {"b": 1}, "gone": {"x": 1}}, "mrr").doubts == []
    # one of thirty is held, and the others are elsewhere: a shallow run
    assert evaluate(RUN, {"q": {"b": 1, **{f"x{i}": 1 for i in range(29)}}}, "mrr").doubts == []


def test_queries_without_relevant_documents_are_counted_at_the_level_of_the_measures():
    qrels = {"q": {"b": 1}, "p": {"a": 2}, "n": {"a": 0}}
    run = Run.from_dict({q: {"a": 2.0, "b": 1.0} for q in qrels})
    found = evaluate(run, qrels, "mrr-l2")
    assert found.without_relevant == {2: ["q", "n"]}
    assert "without relevant documents (count 0): 2; " in found.conventions
    both = evaluate(run, qrels, ["mrr", "mrr-l2"])
    assert "without relevant documents (count 0): 1 (grade >= 1), 2 (grade >= 2); " in both.conventions
