"""LlamaIndex's postprocessor."""

import asyncio

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed: make test-integrations")

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from ltr.errors import ConfigError
from ltr.integrations.llama_index import LtrRerank
from tests.rerank_server import overlap

QUERY = "join two paths"
TEXTS = ["sort a list", "join paths", "join two paths"]


@pytest.fixture
def nodes():
    return [
        NodeWithScore(node=TextNode(id_=f"n{i}", text=text, metadata={"source": i}), score=None if i else 0.5)
        for i, text in enumerate(TEXTS)
    ]


def test_it_is_a_postprocessor_by_name():
    """What LlamaIndex tests of its own rerankers."""
    assert BaseNodePostprocessor.__name__ in [c.__name__ for c in LtrRerank.__mro__]
    assert LtrRerank.class_name() == "LtrRerank"


def test_a_server_reranks_and_the_retrievers_scores_are_kept(server, nodes):
    rerank = LtrRerank(model=server.url)
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [(n.node.node_id, n.score) for n in found] == [(f"n{i}", overlap(QUERY, TEXTS[i])) for i in (2, 1, 0)]
    assert [n.node.metadata for n in found] == [{"source": 2}, {"source": 1}, {"source": 0, "retrieval_score": 0.5}]
    assert [n.node.metadata for n in nodes] == [{"source": 0}, {"source": 1}, {"source": 2}]
    assert nodes[0].score == 0.5
    assert "retrieval_score" not in found[2].node.get_content(metadata_mode=MetadataMode.LLM)
    rerank._ranker.close()


def test_async_gives_the_same(reranker, nodes):
    rerank = LtrRerank(model=reranker, top_n=2, probability=True)
    found = asyncio.run(rerank.apostprocess_nodes(nodes, query_str=QUERY))
    assert found == rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [n.score for n in found] == [r.score for r in reranker.rank(QUERY, TEXTS, top_k=2, probability=True)]
    assert rerank.postprocess_nodes([], query_str=QUERY) == []
    assert asyncio.run(rerank.apostprocess_nodes([], query_str=QUERY)) == []


def test_metadata_is_read_when_asked_for(server, nodes):
    rerank = LtrRerank(model=server.url, metadata_mode=MetadataMode.ALL)
    rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert server.seen[0]["texts"][0] == "source: 0\n\nsort a list"
    rerank._ranker.close()


def test_events_tell_of_it(reranker, nodes):
    seen = []

    class Handler(BaseEventHandler):
        def handle(self, event, **options):
            seen.append((event.class_name(), len(event.nodes)))

    dispatcher = get_dispatcher("ltr.integrations.llama_index")
    dispatcher.add_event_handler(Handler())
    LtrRerank(model=reranker, top_n=1).postprocess_nodes(nodes, query_str=QUERY)
    assert seen == [("ReRankStartEvent", 3), ("ReRankEndEvent", 1)]


def test_a_query_is_needed(reranker, nodes):
    with pytest.raises(ConfigError, match="a query is needed to rank by; give query_bundle or query_str"):
        LtrRerank(model=reranker).postprocess_nodes(nodes)
