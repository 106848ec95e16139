"""Haystack's ranker."""

import asyncio

import pytest

pytest.importorskip("haystack", reason="haystack-ai is not installed: make test-integrations")

from haystack import Document, Pipeline

from ltr.errors import ConfigError
from ltr.integrations.haystack import LtrRanker
from tests.rerank_server import overlap

QUERY = "join two paths"
TEXTS = ["sort a list", "join paths", "join two paths"]


@pytest.fixture
def documents():
    return [Document(id=f"d{i}", content=text, meta={"n": i}, score=None if i else 0.5) for i, text in enumerate(TEXTS)]


def test_a_server_ranks_and_scores_and_meta_are_kept(server, documents):
    ranker = LtrRanker(server.url)
    found = ranker.run(QUERY, documents)["documents"]
    assert [(d.id, d.score) for d in found] == [(f"d{i}", overlap(QUERY, TEXTS[i])) for i in (2, 1, 0)]
    assert [d.meta for d in found] == [{"n": 2}, {"n": 1}, {"n": 0, "retrieval_score": 0.5}]
    assert (documents[0].score, documents[0].meta) == (0.5, {"n": 0})
    assert ranker.run(QUERY, [])["documents"] == []
    assert [d.id for d in ranker.run(QUERY, documents, top_k=1)["documents"]] == ["d2"]
    ranker._ranker.close()


def test_async_gives_the_same(reranker, documents):
    ranker = LtrRanker(reranker, top_k=2, probability=True)
    found = asyncio.run(ranker.run_async(QUERY, documents))
    assert found == ranker.run(QUERY, documents)
    assert [d.score for d in found["documents"]] == [
        r.score for r in reranker.rank(QUERY, TEXTS, top_k=2, probability=True)
    ]


def test_it_runs_in_a_pipeline_that_was_saved(model_folder, documents):
    pipeline = Pipeline()
    pipeline.add_component("ranker", LtrRanker(str(model_folder), top_k=1))
    opened = Pipeline.loads(pipeline.dumps(), allowed_modules=["ltr.integrations.haystack"])
    opened.warm_up()
    found = opened.run({"ranker": {"query": QUERY, "documents": documents}})["ranker"]["documents"]
    assert found == pipeline.run({"ranker": {"query": QUERY, "documents": documents}})["ranker"]["documents"]
    assert len(found) == 1


def test_what_cannot_be_is_told(reranker):
    with pytest.raises(ConfigError, match="only a model that was given by its folder, hub id or address can be saved"):
        LtrRanker(reranker).to_dict()
    with pytest.raises(ConfigError, match="top_k must be at least 1, got 0"):
        LtrRanker(reranker, top_k=0)
