"""Measures equal those of trec_eval on runs with ties, and say what they did with queries that do not match."""

import numpy as np
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.io.trec import Run
from ltr.metrics.engine import evaluate

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


def assert_equal_to_trec_eval(run: Run, qrels) -> None:
    ours = evaluate(run, qrels, list(SAME))
    table = pytrec_eval.RelevanceEvaluator(qrels, FAMILIES).evaluate(run.to_dict())
    for measure, theirs in SAME.items():
        expected = [table[q][theirs] if q in table else 0.0 for q in qrels]
        np.testing.assert_allclose(ours.values[measure], expected, atol=1e-6, rtol=0, err_msg=measure)


docs = st.integers(0, 14).map("d{}".format)
# few distinct scores, some equal only as float32: ties everywhere
scores = st.sampled_from([0.0, 1.0, 1.0 + 1e-9, 2.0, -3.5, 1e30, 16777216.0, 16777217.0])
judgements = st.dictionaries(st.sampled_from("pqrs"), st.dictionaries(docs, st.integers(-1, 3), min_size=1), min_size=1)
rankings = st.dictionaries(st.sampled_from("pqrs"), st.dictionaries(docs, scores, min_size=1), min_size=1)


@settings(max_examples=150, deadline=None)
@given(rankings, judgements)
def test_equals_trec_eval_on_ties(scored, qrels):
    if set(scored) & set(qrels):
        assert_equal_to_trec_eval(Run.from_dict(scored), qrels)
