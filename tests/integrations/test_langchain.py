"""LangChain's compressor and cross-encoder, for which its standard tests (langchain-tests 1.1) have no class."""

import asyncio

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed: pip install 'ltr[langchain]'")

from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document

from ltr.integrations.langchain import LtrCompressor, LtrCrossEncoder
from tests.rerank_server import overlap

QUERY = "join two paths"
TEXTS = ["sort a list", "join paths", "join two paths"]


@pytest.fixture
def documents():
    return [Document(text, id=f"d{i}", metadata={"source": i}) for i, text in enumerate(TEXTS)]


def test_a_server_compresses_and_scores_are_kept(server, documents):
    compressor = LtrCompressor(model=server.url, top_n=2)
    assert isinstance(compressor, BaseDocumentCompressor)
    found = compressor.compress_documents(documents, QUERY)
    assert [(d.id, d.metadata) for d in found] == [
        ("d2", {"source": 2, "relevance_score": overlap(QUERY, TEXTS[2])}),
        ("d1", {"source": 1, "relevance_score": overlap(QUERY, TEXTS[1])}),
    ]
    assert all("relevance_score" not in d.metadata for d in documents)
    compressor._ranker.close()


def test_async_gives_the_same(server, reranker, documents):
    for model in (server.url, reranker):
        compressor = LtrCompressor(model=model)
        found = asyncio.run(compressor.acompress_documents(documents, QUERY))
        assert found == compressor.compress_documents(documents, QUERY)
        assert asyncio.run(compressor.acompress_documents([], QUERY)) == []
        if model is not reranker:
            compressor._ranker.close()


def test_a_model_compresses_by_a_threshold_of_probability(reranker, documents):
    ranked = reranker.rank(QUERY, TEXTS, probability=True)
    compressor = LtrCompressor(model=reranker, probability=True, threshold=ranked[1].score)
    found = compressor.compress_documents(documents, QUERY)
    assert [d.metadata["relevance_score"] for d in found] == [r.score for r in ranked[:2]]
    assert compressor.compress_documents([], QUERY) == []


def test_the_cross_encoder_scores_pairs(reranker):
    encoder = LtrCrossEncoder(reranker)
    assert isinstance(encoder, BaseCrossEncoder)
    pairs = [(QUERY, text) for text in TEXTS]
    assert encoder.score(pairs) == reranker.score(pairs).tolist()
    assert encoder.score([]) == []


def test_numbers_of_documents_below_one_are_refused(reranker):
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        LtrCompressor(model=reranker, top_n=0)
