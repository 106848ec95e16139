"""A run keeps trec_eval's order, exactly its documents, and refuses what cannot be one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import DataError, ShapeError
from ltr.io import runs
from ltr.io.runs import Run

#: ids with different lengths, beyond ASCII, and such that one is the beginning of another
IDS = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=20)
SCORES = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 1.0 + 1e-9, 2.0])
TABLES = st.dictionaries(IDS, st.dictionaries(IDS, SCORES, max_size=12), max_size=5)


def in_order(docs: dict[str, float]) -> list[str]:
    """The definition: float32 score descending, then id descending (by code point, as UTF-8 bytes are)."""
    return sorted(docs, key=lambda d: (np.float32(docs[d]), d.encode()), reverse=True)


@settings(max_examples=150, deadline=None)
@given(TABLES)
def test_order_is_that_of_trec_eval(table):
    run = Run.from_dict(table)
    assert list(run) == list(table)
    for query_id, docs in table.items():
        found, scores = run[query_id]
        assert found.tolist() == in_order(docs)
        assert scores.tolist() == [docs[d] for d in found]
    assert run.to_dict() == table


@settings(max_examples=50, deadline=None)
@given(TABLES, st.integers(0, 6))
def test_top_keeps_the_best(table, k):
    run = Run.from_dict(table, "mine").top(k)
    assert run.name == "mine"
    for query_id, docs in table.items():
        assert run[query_id][0].tolist() == in_order(docs)[:k]


def test_few_ties_in_a_long_sorted_run_are_mended_alone():
    scores = np.arange(100.0, 0, -1)
    scores[40:43] = 60.0
    run = Run(["p", "q"], [0, 50, 100], [f"d{i:03}" for i in range(100)], scores)
    assert run["p"][0].tolist()[38:45] == ["d038", "d039", "d042", "d041", "d040", "d043", "d044"]
    assert run["q"][0].tolist() == [f"d{i:03}" for i in range(50, 100)]


def test_documents_as_bytes_or_text_are_the_same():
    text = Run(["q"], [0, 2], ["ä", "long identifier"], [1, 2])
    raw = Run(["q"], [0, 2], np.array(["ä".encode(), b"long identifier"]), [1, 2])
    assert text.doc_ids.tolist() == raw.doc_ids.tolist() == ["long identifier", "ä"]


@pytest.mark.parametrize("copy", [True, False])
def test_arrays_of_the_caller_are_put_in_order_only_where_that_is_asked_for(copy):
    docs, scores = np.array([b"a", b"b", b"c"], "S8"), np.array([1.0, 2.0, 2.0])
    run = Run(["q"], [0, 3], docs, scores, copy=copy)
    assert run["q"][0].tolist() == ["c", "b", "a"]
    assert docs.tolist() == ([b"a", b"b", b"c"] if copy else [b"c", b"b", b"a"])
    assert scores.tolist() == ([1, 2, 2] if copy else [2, 2, 1])


def test_what_a_run_was_made_of_and_what_it_gives_out_can_be_changed():
    offsets, docs, scores = np.array([0, 2]), np.array([b"a", b"b"], "S8"), np.array([2.0, 1.0])
    run = Run(["q"], offsets, docs, scores)
    offsets[1], docs[0], scores[0] = 0, b"x", 9
    given = run["q"]
    given[0][0], given[1][0] = "y", 5
    assert run.to_dict() == {"q": {"a": 2.0, "b": 1.0}}


def test_arrays_that_cannot_be_written_to_are_copied_to_be_ordered():
    docs, scores = np.array([b"a", b"b"], "S8"), np.array([1.0, 2.0])
    docs.flags.writeable = scores.flags.writeable = False
    assert Run(["q"], [0, 2], docs, scores, copy=False).to_dict() == {"q": {"b": 2.0, "a": 1.0}}


@settings(max_examples=50, deadline=None)
@given(TABLES, st.integers(1, 5))
def test_the_size_of_parts_does_not_matter(table, entries):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "PART", entries)
        run = Run.from_dict(table)
    for query_id, docs in table.items():
        assert run[query_id][0].tolist() == in_order(docs)


def test_a_duplicate_in_a_later_part(monkeypatch):
    monkeypatch.setattr(runs, "PART", 2)
    with pytest.raises(DataError, match="run r: query s, document c is listed twice"):
        Run(["p", "q", "s"], [0, 2, 4, 7], ["a", "b", "a", "b", "c", "a", "c"], [7, 6, 5, 4, 3, 2, 1], "r")


def test_scores_whose_sum_is_beyond_float_are_finite_still():
    scores = [1.7e308, 1.6e308, -1.7e308, -1.7e308, -1.7e308]
    assert sorted(Run(["q"], [0, 5], list("abcde"), scores).scores) == sorted(scores)
    with pytest.raises(DataError, match="document b: score -inf is not a finite number"):
        Run(["q"], [0, 3], list("abc"), [1.7e308, -np.inf, np.inf])


def test_looks_like_a_collection_of_queries():
    run = Run.from_dict({"q": {"a": 1.0}, "empty": {}}, "mine")
    assert len(run) == 2
    assert "q" in run
    assert "p" not in run
    assert run["empty"][0].tolist() == []
    assert repr(run) == "Run('mine': 2 queries, 1 documents)"
    with pytest.raises(DataError, match=r"run mine: no query 'emty'; did you mean 'empty'\?"):
        run["emty"]


def test_no_queries_at_all():
    assert Run.from_dict({}).top(3).to_dict() == {}


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_scores_must_be_finite(score):
    with pytest.raises(DataError, match=r"run r: query p, document b: score (nan|-?inf) is not a finite number"):
        Run.from_dict({"o": {"x": 1.0}, "e": {}, "p": {"a": 1.0, "b": score}}, "r")


def test_a_document_listed_twice():
    with pytest.raises(DataError, match="run r: query q, document a is listed twice"):
        Run(["p", "q"], [0, 1, 4], ["a", "a", "b", "a"], [1, 4, 3, 2], "r")


def test_equal_keys_of_different_documents_are_no_duplicates(monkeypatch):
    monkeypatch.setattr(runs, "keys", lambda docs, query, seed=0: np.zeros(len(docs), np.uint64))
    assert len(Run(["p", "q"], [0, 2, 3], ["a", "b", "a"], [1, 2, 3]).scores) == 3
    with pytest.raises(DataError, match="document b is listed twice"):
        Run(["p"], [0, 3], ["a", "b", "b"], [1, 2, 3])


def test_a_query_in_two_blocks():
    with pytest.raises(DataError, match="run r: query q stands in two blocks"):
        Run(["q", "p", "q"], [0, 1, 2, 3], ["a", "b", "c"], [1, 2, 3], "r")


@pytest.mark.parametrize(
    ("offsets", "docs", "scores"),
    [
        ([0, 1], ["a", "b"], [1, 2]),
        ([0, 1, 1], ["a", "b"], [1, 2]),
        ([1, 1, 2], ["a", "b"], [1, 2]),
        ([0, 3, 2], ["a", "b"], [1, 2]),
        ([0, 1, 2], ["a"], [1, 2]),
    ],
)
def test_offsets_documents_and_scores_must_fit(offsets, docs, scores):
    with pytest.raises(ShapeError, match="run run: offsets must rise from 0 to the number of documents"):
        Run(["p", "q"], offsets, docs, scores)


def test_keys_do_not_depend_on_the_width_of_the_array():
    ids = ["a", "abcdefgh", "abcdefghi"]
    narrow, wide = runs.as_bytes(ids), runs.as_bytes([*ids, "x" * 40])
    query = np.arange(4)
    assert (runs.keys(narrow, query[:3]) == runs.keys(wide, query)[:3]).all()
    assert len(set(runs.keys(narrow, query[:3]).tolist() + runs.keys(narrow, query[:3], seed=1).tolist())) == 6


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.lists(st.integers(0, 19), max_size=5))
def test_keys_that_occur_twice_are_all_found(single, repeated):
    values = single + [single[i] for i in repeated if i < len(single)]
    found = runs._twice(np.array(values, np.uint64))
    assert set(found.tolist()) == {v for v in values if values.count(v) > 1}


def test_few_keys_are_sorted_to_find_those_that_occur_twice(monkeypatch):
    sorted_keys = []
    true = np.sort
    monkeypatch.setattr(runs.np, "sort", lambda keys: sorted_keys.append(len(keys)) or true(keys))
    key = runs.keys(runs.as_bytes([str(i) for i in range(20_000)]), np.repeat(np.arange(20), 1000))
    assert len(runs._twice(key)) == 0
    assert sum(sorted_keys) < 0.15 * len(key)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "run.trec",
            r"a run must be {query id: {document id: score}}, got str 'run.trec'; ltr.io.trec.read_run reads a file",
        ),
        ({"q": ["a"]}, r"a run must be {query id: {document id: score}}, got \['a'\] for query q"),
        (
            {"p": {}, "q": {"a": 1, "b": "x"}, "r": {"a": None}},
            "query q, document b: a score must be a number, got 'x'",
        ),
        ({1: {}, "1": {}}, "a run: query 1 stands there as text and as a number; keep one"),
        ({True: {}}, "a run: query ids must be text or whole numbers, got True"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(given, message):
    with pytest.raises(DataError, match=f"^run r: {message}"):
        Run.from_dict(given, "r")


def test_ids_that_are_numbers_become_text():
    assert Run.from_dict({1: {np.int64(7): 2, 8: 1.0}}).to_dict() == {"1": {"7": 2.0, "8": 1.0}}


def test_no_id_becomes_another_by_a_nul_at_its_end():
    with pytest.raises(DataError, match=r"an id must not hold the character NUL, got 'a\\x00'"):
        Run.from_dict({"q": {"a\0": 2.0, "b": 1.0}})
