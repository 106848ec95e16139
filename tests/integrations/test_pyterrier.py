"""Stages of PyTerrier pipelines, by its own conformance test too; no Java is needed."""

from unittest import mock

import numpy as np
import pandas as pd
import pytest

from tests.conftest import QRELS, QUERIES, write_tiny
from tests.rerank_server import overlap

pytest.importorskip("pyterrier", reason="pyterrier is not installed: make test-integrations")

import pyterrier as pt
import pyterrier.testing

from ltr.errors import DataError
from ltr.inference import RemoteReranker
from ltr.integrations.pyterrier import Rerank, Retrieve

pytestmark = pytest.mark.filterwarnings("ignore")


class TestTheirConformance(pyterrier.testing.TransformerTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # their drawing looks the class up in their own documentation, on the network
        lookup = mock.patch.object(pt.documentation, "url_for_class", return_value=None)
        lookup.start()
        cls.addClassCleanup(lookup.stop)

    @staticmethod
    def get_transformer():
        return Rerank(RemoteReranker("http://127.0.0.1:9"))  # nothing is sent of empty frames


@pytest.fixture
def results():
    rows = [
        ("1", "join two paths", "a", "sort a list"),
        ("2", "sort", "b", "join"),
        ("1", "join two paths", "c", "join paths"),
    ]
    return pd.DataFrame(rows, columns=["qid", "query", "docno", "text"]).assign(
        score=[3.0, 2.0, 1.0], rank=0, note="kept"
    )


def test_documents_get_scores_and_ranks_anew(results, server):
    before = results.copy()
    found = Rerank(server.url)(results).set_index("docno")
    assert found["score"].to_dict() == {
        "a": overlap("join two paths", "sort a list"),
        "b": overlap("sort", "join"),
        "c": overlap("join two paths", "join paths"),
    }
    assert found["rank"].to_dict() == {"a": 1, "b": 0, "c": 0}
    assert set(found["note"]) == {"kept"}
    pd.testing.assert_frame_equal(results, before)


def test_a_qid_is_one_query(results, reranker, tmp_path):
    """By the first row of a group alone, rows of another query got its scores, and rows without a qid none at all."""
    first = Retrieve(str(write_tiny(tmp_path / "tiny")))
    for stage in (Rerank(reranker), first):
        with pytest.raises(DataError, match="qid 1 stands for two queries, 'join two paths' and 'sort'"):
            stage(results.assign(qid="1").drop(columns=["docno"] if stage is first else []))
        with pytest.raises(DataError, match="row 1 has no qid; every row needs one"):
            stage(results.assign(qid=["1", None, "1"]).drop(columns=["docno"] if stage is first else []))


def test_an_empty_frame_stays_one(results, reranker):
    empty = Rerank(reranker)(results.iloc[:0])
    assert not len(empty)
    assert {"qid", "query", "docno", "text", "score", "rank"} <= set(empty.columns)


def test_a_model_in_a_pipeline_and_an_experiment(reranker, tmp_path):
    first = Retrieve(str(write_tiny(tmp_path / "tiny")), k=5)
    pipeline = first >> Rerank(reranker)
    topics = first.topics()
    assert dict(zip(topics["qid"], topics["query"], strict=True)) == QUERIES
    found = pipeline(topics)
    for qid, own in found.groupby("qid"):
        wanted = reranker.rank(QUERIES[qid], own["text"].tolist(), own["docno"].tolist())
        assert own.sort_values("rank")["docno"].tolist() == [r.id for r in wanted]
        np.testing.assert_allclose(own.sort_values("rank")["score"], [r.score for r in wanted], atol=1e-5)
    table = pt.Experiment([first, pipeline], topics, first.qrels(), ["recip_rank"], names=["bm25", "ltr"])
    assert table["recip_rank"].between(0, 1).all()
    assert (pipeline % 1)(topics)["rank"].tolist() == [0] * found["qid"].nunique()


def test_a_first_stage_gives_texts_and_keeps_columns(tmp_path):
    first = Retrieve(str(write_tiny(tmp_path / "tiny")), k=2)
    found = first(pd.DataFrame({"qid": ["x", "y"], "query": ["join paths", "xyzzy"], "note": [1, 2]}))
    assert set(found["qid"]) == {"x"}
    best = found[found["rank"] == 0].iloc[0]
    assert (best["docno"], best["note"]) == ("d5", 1)
    assert best["text"] == "Paths Join two paths with a slash."
    assert {(q, d) for q, d, _ in first.qrels().itertuples(index=False)} == {(q, d) for q in QRELS for d in QRELS[q]}
    assert not len(first(pd.DataFrame({"qid": [], "query": []}, dtype=object)))


def test_texts_that_are_none_are_told(results, reranker):
    with pytest.raises(DataError, match="document 1 of query 1 must be a string"):
        Rerank(reranker)(results.assign(text=["a", "b", None]))
