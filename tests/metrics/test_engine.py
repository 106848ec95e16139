"""Measures equal those of trec_eval on runs with ties, and say what they did with queries that do not match."""

import math
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.io import runs
from ltr.io.trec import Run, read_qrels, read_run
from ltr.metrics.engine import evaluate
from ltr.metrics.measures import judged_ranks
from ltr.metrics.measures.measure import KINDS

#: ours -> trec_eval's
SAME = {
    "ndcg": "ndcg",
    "ndcg@5": "ndcg_cut_5",
    "ndcg@10": "ndcg_cut_10",
    "mrr": "recip_rank",
    "map": "map",
    "map@10": "map_cut_10",
    "recall@5": "recall_5",
    "recall@100": "recall_100",
    "precision@5": "P_5",
    "precision@10": "P_10",
    "hit_rate@5": "success_5",
    "hits": "num_rel_ret",
    "r-precision": "Rprec",
    "bpref": "bpref",
}
FAMILIES = {
    "ndcg",
    "ndcg_cut",
    "recip_rank",
    "map",
    "map_cut",
    "recall",
    "P",
    "success",
    "num_rel_ret",
    "Rprec",
    "bpref",
}
#: one of each kind
ALL = ["rbp.8" if name == "rbp" else name for name in KINDS]


def assert_equal_to_trec_eval(run: Run, qrels) -> None:
    ours = evaluate(run, qrels, list(SAME))
    table = pytrec_eval.RelevanceEvaluator(qrels, FAMILIES).evaluate(run.to_dict())
    for measure, theirs in SAME.items():
        expected = [table[q][theirs] if q in table else 0.0 for q in qrels]
        np.testing.assert_allclose(ours.values[measure], expected, atol=1e-6, rtol=0, err_msg=measure)


DOCS = st.integers(0, 14).map("d{}".format)
#: few distinct scores, some equal only as float32: ties everywhere
SCORES = st.sampled_from([0.0, 1.0, 1.0 + 1e-9, 2.0, -3.5, 1e30, 1e300, 16777216.0, 16777217.0])
#: trec_eval crashes on a query whose grades are all negative
GRADES = st.dictionaries(DOCS, st.integers(-1, 3), min_size=1).filter(lambda docs: max(docs.values()) >= 0)
JUDGED = st.dictionaries(st.sampled_from("pqrs"), GRADES, min_size=1)
RANKED = st.dictionaries(st.sampled_from("pqrs"), st.dictionaries(DOCS, SCORES, min_size=1), min_size=1)


@settings(max_examples=150, deadline=None)
@given(RANKED, JUDGED)
def test_equals_trec_eval_on_ties(scored, qrels):
    if set(scored) & set(qrels):
        assert_equal_to_trec_eval(Run.from_dict(scored), qrels)


@pytest.mark.shared
@pytest.mark.parametrize("run", ["run.bm25.trec.gz", "run.splade.trec.gz"])
@pytest.mark.parametrize("qrels", ["qrels.trec", "qrels_full.trec"])
def test_equals_trec_eval_on_real_runs(shared_data, run, qrels):
    folder = shared_data / "trec-dl-2021"
    assert_equal_to_trec_eval(read_run(folder / run), read_qrels(folder / qrels))


#: ranks 1..5 hold grades 2, not judged, 0, 3, 1; one relevant document (grade 1) is not retrieved
RUN = Run.from_dict({"q": {"a": 5.0, "u": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}}, "mine")
QRELS = {"q": {"a": 2, "b": 0, "c": 3, "d": 1, "e": 1}}


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("dcg", 2 + 3 / math.log2(5) + 1 / math.log2(6)),
        ("dcg@4", 2 + 3 / math.log2(5)),
        ("dcg_burges", 3 + 7 / math.log2(5) + 1 / math.log2(6)),
        ("ndcg@4", (2 + 3 / math.log2(5)) / (3 + 2 / math.log2(3) + 1 / 2 + 1 / math.log2(5))),
        ("ndcg_burges@1", 3 / 7),
        ("mrr", 1.0),
        ("mrr-l3", 1 / 4),
        ("mrr-l3@3", 0.0),
        ("map", (1 + 2 / 4 + 3 / 5) / 4),
        ("recall@4", 2 / 4),
        ("recall-l2@4", 1.0),
        ("precision", 3 / 5),
        ("precision@10", 3 / 10),
        ("precision-l2@5", 2 / 5),
        ("f1", 2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4)),
        ("hits@4", 2.0),
        ("hit_rate-l3@3", 0.0),
        ("hit_rate-l3@4", 1.0),
        ("r-precision", 2 / 4),
        ("r-precision-l2", 1 / 2),
        # relevant is 0 or 1 for rank-biased precision, whatever the grade
        ("rbp.8", 0.2 * (1 + 0.8**3 + 0.8**4)),
        ("rbp.8-l2", 0.2 * (1 + 0.8**3)),
        # a stands above no irrelevant document; c and d below one of min(4 relevant, 1 irrelevant)
        ("bpref", (1 + 0 + 0) / 4),
    ],
)
@pytest.mark.parametrize("engine", ["numpy", "ranx"])
def test_worked_by_hand(measure, expected, engine):
    assert evaluate(RUN, QRELS, measure, engine).means[measure] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "ranx"])
def test_bpref_without_judged_irrelevant_documents_is_the_recall(engine):
    assert evaluate(RUN, {"q": {"a": 1, "e": 1}}, "bpref", engine).means == {"bpref": 0.5}


def test_queries_that_do_not_match_are_counted():
    run = Run.from_dict({"x": {"a": 1.0}, "q": {"a": 1.0}, "none": {"a": 1.0}}, "mine")
    qrels = {"gone": {"a": 1}, "q": {"a": 1}, "none": {"a": 0, "b": -1}}
    found = evaluate(run, qrels, ["mrr", "bpref"])
    assert found.query_ids == ["gone", "q", "none"]
    assert (found.missing, found.unjudged, found.without_relevant) == (["gone"], ["x"], {1: ["none"]})
    np.testing.assert_array_equal(found.values["mrr"], [0, 1, 0])
    assert found["mrr"] == pytest.approx(1 / 3)
    for said in ("3 queries", "missing from the run (count 0): 1", "without relevant documents (count 0): 1"):
        assert said in found.conventions
    assert "without judgements (left out): 1" in found.conventions


def test_conventions_name_gain_level_and_ties():
    line = evaluate(RUN, QRELS, ["ndcg@10", "dcg", "ndcg_burges", "mrr"]).conventions
    assert "gain: linear (ndcg@10, dcg)" in line
    assert "gain: 2^grade - 1 (ndcg_burges)" in line
    assert "relevant: grade >= 1;" in line
    assert "ties: by document id, descending (trec_eval)" in line
    assert "relevant: grade >= 2;" in evaluate(RUN, QRELS, "mrr-l2").conventions
    assert "relevant: grade >= 1 (mrr), >= 2 (mrr-l2);" in evaluate(RUN, QRELS, ["mrr-l2", "mrr"]).conventions


def test_a_negative_grade_is_no_judgement():
    qrels = {"q": {"a": 1, "u": -2, "e": 1}}
    assert (
        evaluate(RUN, qrels, ["bpref", "ndcg"]).means == evaluate(RUN, {"q": {"a": 1, "e": 1}}, ["bpref", "ndcg"]).means
    )


def test_a_query_of_the_run_without_documents_counts_0():
    run = Run.from_dict({"p": {}, "q": {"a": 1.0}})
    found = evaluate(run, {"p": {"a": 1}, "q": {"a": 1}}, ALL)
    for measure, values in found.values.items():
        assert values[0] == 0, measure


@settings(max_examples=25, deadline=None)
@given(RANKED, JUDGED)
def test_the_size_of_blocks_does_not_matter(scored, qrels):
    if not set(scored) & set(qrels):
        return
    run = Run.from_dict(scored)
    whole = evaluate(run, qrels, ALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "PART", 3)
        parts = evaluate(run, qrels, ALL)
    for measure in ALL:
        np.testing.assert_array_equal(whole.values[measure], parts.values[measure], err_msg=measure)


def test_equal_keys_of_different_documents_are_told_apart(monkeypatch):
    expected = evaluate(RUN, QRELS, ALL).means
    true_keys = judged_ranks.keys
    monkeypatch.setattr(
        judged_ranks, "keys", lambda d, q, seed=0: true_keys(d, q, seed) & np.uint64(7 if seed < 2 else 1023)
    )
    assert evaluate(RUN, QRELS, ALL).means == expected
    monkeypatch.setattr(judged_ranks, "keys", lambda d, q, seed=0: np.zeros(len(d), np.uint64))
    with pytest.raises(DataError, match="document ids collide under every hash"):
        evaluate(RUN, QRELS, ALL)


@pytest.mark.parametrize(
    ("measure", "grade", "why"),
    [
        ("ndcg_burges@10", 1001, r"1000 at most, as ndcg_burges@10 has the gain 2.grade - 1; got '1001'"),
        ("dcg_burges", 10**320, r"1000 at most, as dcg_burges has the gain 2.grade - 1; got '10+'\.\.\."),
        ("mrr", 10**320, r"9007199254740992 at most, as it is computed with as float64; got '10+'\.\.\."),
        ("mrr", -(10**320), r"9007199254740992 at most, as it is computed with as float64; got '-10+'\.\.\."),
    ],
)
def test_grades_that_a_measure_would_make_infinite(measure, grade, why):
    with pytest.raises(DataError, match=f"evaluate: query q, document b: a grade can be {why}"):
        evaluate(RUN, {"p": {"a": -2000}, "q": {"a": -2000, "b": grade}}, measure)


def test_large_grades_that_measures_can_take():
    assert evaluate(RUN, {"q": {"a": 1000, "b": 1}}, "ndcg_burges").means == {"ndcg_burges": 1.0}
    assert evaluate(RUN, {"q": {"a": 2**53, "b": 1001}}, "ndcg")["ndcg"] == pytest.approx(1, abs=1e-12)


def test_documents_whose_keys_collide_by_chance(monkeypatch):
    """Equal keys must not make a document of another id, or of another query, a judged one."""
    monkeypatch.setattr(
        judged_ranks,
        "keys",
        lambda docs, query, seed=0: docs.view(np.uint8).reshape(len(docs), -1)[:, 0] + np.uint64(0),
    )
    run = Run.from_dict({"q": {"x3": 3.0, "a2": 2.0, "a": 1.0}, "p": {"a": 1.0}})
    assert evaluate(run, {"q": {"a2": 1}}, "mrr").means == {"mrr": 0.5}
    run = Run.from_dict({"q": {"x3": 2.0, "a": 1.0}, "p": {"a": 1.0}})
    assert evaluate(run, {"q": {"a": 1}}, "mrr").means == {"mrr": 0.5}


def test_unknown_measures():
    with pytest.raises(ConfigError, match="did you mean 'ndcg'"):
        evaluate(RUN, QRELS, ["ndgc"])


def test_unknown_engine():
    with pytest.raises(ConfigError, match=r"evaluate: no engine 'numba'; .*numpy"):
        evaluate(RUN, QRELS, "mrr", "numba")


def test_no_judgements():
    with pytest.raises(DataError, match="evaluate: there are no judgements"):
        evaluate(RUN, {}, "mrr")


def test_no_shared_query():
    with pytest.raises(
        DataError, match=r"run mine and the judgements share no query; the run has 1 \(q ...\), .* 1 \(1 "
    ):
        evaluate(RUN, {"1": {"a": 1}}, "mrr")


def test_no_measure_waits_for_a_compiler_or_for_frames():
    code = f"""
import sys
from ltr.metrics.engine import evaluate
from ltr.io.trec import Run
evaluate(Run.from_dict({{"q": {{"a": 1.0}}}}), {{"q": {{"a": 1}}}}, {ALL!r})
print([name for name in ("ranx", "numba", "pandas", "scipy", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_of_measuring_does_not_grow_with_the_depth_of_the_run(monkeypatch):
    monkeypatch.setattr(runs, "PART", 500)
    monkeypatch.setattr(runs, "THREADS", 1)  # how many parts are held at once must not depend on the machine
    peaks = []
    for depth in (50, 500):
        docs = [f"d{i}" for i in range(depth)]
        run = Run([f"q{i}" for i in range(100)], np.arange(101) * depth, docs * 100, -np.tile(np.arange(depth), 100))
        qrels = {f"q{i}": {"d1": 1, "d7": 0, "x": 2} for i in range(100)}
        tracemalloc.start()
        evaluate(run, qrels, ALL)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # four bytes an entry: no word is held for every entry of the run
    assert peaks[1] - peaks[0] < 4 * 100 * 450
