"""Calls of real clients to a running server; run by an environment that has them, and by no test directly.

    python calls.py http://127.0.0.1:8080 KEY < question.json

The question is ``{query, documents, top_n}``. Prints a line of JSON for each call: its name and the results as
``[index, score]``, or what it raised. Packages are imported where they are used; the calls of one that is not there are left
out, and named in the last line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

Results = list[tuple[int, float]]


class Asked(NamedTuple):
    """What every call sends."""

    url: str
    key: str
    query: str
    documents: list[str]
    top_n: int

    def places(self, found: Sequence[tuple[str, float]]) -> Results:
        """Texts by their place."""
        return [(self.documents.index(text), score) for text, score in found]


CALLS: dict[str, Callable[[Asked], Results]] = {}


def call(function: Callable[[Asked], Results]) -> Callable[[Asked], Results]:
    CALLS[function.__name__] = function
    return function


# ---------------------------------------------------------------------- cohere


@call
def cohere_v1(asked: Asked) -> Results:
    import cohere

    documents = [{"text": text, "id": "x"} for text in asked.documents]
    answer = cohere.Client(asked.key, base_url=asked.url).rerank(
        model="m", query=asked.query, documents=documents, top_n=asked.top_n, return_documents=True
    )
    assert [one.document.text for one in answer.results] == [asked.documents[one.index] for one in answer.results]
    assert answer.id
    assert answer.meta.api_version.version == "1"
    assert answer.meta.billed_units.search_units == 1
    return [(one.index, one.relevance_score) for one in answer.results]


@call
def cohere_v2(asked: Asked) -> Results:
    import cohere

    answer = cohere.ClientV2(asked.key, base_url=asked.url).rerank(
        model="m", query=asked.query, documents=asked.documents, top_n=asked.top_n, max_tokens_per_doc=4096
    )
    return [(one.index, one.relevance_score) for one in answer.results]


@call
def cohere_v2_async(asked: Asked) -> Results:
    import cohere

    client = cohere.AsyncClientV2(asked.key, base_url=asked.url)
    answer = asyncio.run(client.rerank(model="m", query=asked.query, documents=asked.documents, top_n=asked.top_n))
    return [(one.index, one.relevance_score) for one in answer.results]


@call
def cohere_refusals(asked: Asked) -> Results:
    """A wrong key and a wrong body raise the client's own errors, with the server's sentence."""
    import cohere

    for key, query, error, said in (
        ("wrong", asked.query, cohere.UnauthorizedError, "a key is needed"),
        (asked.key, " ", cohere.UnprocessableEntityError, "query must not be empty"),
    ):
        raised = None
        try:
            cohere.ClientV2(key, base_url=asked.url).rerank(model="m", query=query, documents=asked.documents)
        except error as caught:
            raised = caught
        assert raised is not None, f"no {error.__name__}"
        assert said in str(raised.body), raised.body
    return cohere_v2(asked)


@call
def langchain_cohere(asked: Asked) -> Results:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document

    compressor = CohereRerank(model="m", cohere_api_key=asked.key, base_url=asked.url, top_n=asked.top_n)
    found = compressor.compress_documents([Document(page_content=text) for text in asked.documents], asked.query)
    return asked.places([(one.page_content, one.metadata["relevance_score"]) for one in found])


@call
def langchain_cohere_in_a_retriever(asked: Asked) -> Results:
    from langchain_classic.retrievers import ContextualCompressionRetriever
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    class All(BaseRetriever):
        def _get_relevant_documents(self, query: str, **more: Any) -> list[Document]:
            return [Document(page_content=text) for text in asked.documents]

    compressor = CohereRerank(model="m", cohere_api_key=asked.key, base_url=asked.url, top_n=asked.top_n)
    retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=All())
    found = retriever.invoke(asked.query)
    return asked.places([(one.page_content, one.metadata["relevance_score"]) for one in found])


@call
def llama_index_cohere(asked: Asked) -> Results:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    return _of_nodes(asked, CohereRerank(top_n=asked.top_n, model="m", api_key=asked.key, base_url=asked.url))


@call
def haystack_cohere(asked: Asked) -> Results:
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    ranker = CohereRanker(model="m", api_key=Secret.from_token(asked.key), api_base_url=asked.url, top_k=asked.top_n)
    found = ranker.run(query=asked.query, documents=[Document(content=text) for text in asked.documents])
    return asked.places([(one.content, one.score) for one in found["documents"]])


# ---------------------------------------------------------------------- text embeddings inference


@call
def llama_index_tei(asked: Asked) -> Results:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    return _of_nodes(
        asked, TextEmbeddingInference(base_url=asked.url, top_n=asked.top_n, auth_token=f"Bearer {asked.key}")
    )


@call
def huggingface_hub_session(asked: Asked) -> Results:
    """The hub's client has no method for rerankers: its session sends TEI's body."""
    from huggingface_hub import get_session

    answer = get_session().post(
        f"{asked.url}/rerank", json={"query": asked.query, "texts": asked.documents}, headers=_headers(asked)
    )
    answer.raise_for_status()
    return [(one["index"], one["score"]) for one in answer.json()][: asked.top_n]


# ---------------------------------------------------------------------- rerankers


@call
def rerankers_cohere(asked: Asked) -> Results:
    return _rerankers(asked, "cohere", "/v1/rerank")


@call
def rerankers_jina(asked: Asked) -> Results:
    return _rerankers(asked, "jina", "/v1/rerank")


@call
def rerankers_tei(asked: Asked) -> Results:
    return _rerankers(asked, "text-embeddings-inference", "/rerank")


@call
def rerankers_by_its_factory(asked: Asked) -> Results:
    from rerankers import Reranker

    ranker = Reranker(
        "m", model_type="APIRanker", api_provider="jina", api_key=asked.key, url=f"{asked.url}/v1/rerank", verbose=0
    )
    found = ranker.rank(asked.query, asked.documents)
    return [(one.doc_id, one.score) for one in found][: asked.top_n]


@call
def rerankers_in_langchain(asked: Asked) -> Results:
    import langchain_classic
    from langchain_classic.retrievers.document_compressors import base
    from langchain_core.documents import Document
    from rerankers.models.api_rankers import APIRanker

    # it imports where these stood before LangChain 1
    sys.modules.update({"langchain": langchain_classic, "langchain.retrievers": langchain_classic.retrievers})
    sys.modules["langchain.retrievers.document_compressors"] = langchain_classic.retrievers.document_compressors
    sys.modules["langchain.retrievers.document_compressors.base"] = base
    ranker = APIRanker("m", asked.key, "jina", url=f"{asked.url}/v1/rerank")
    compressor = ranker.as_langchain_compressor(k=asked.top_n)
    found = compressor.compress_documents([Document(page_content=text) for text in asked.documents], asked.query)
    return asked.places([(one.page_content, one.metadata["relevance_score"]) for one in found])


def _rerankers(asked: Asked, provider: str, path: str) -> Results:
    from rerankers.models.api_rankers import APIRanker

    found = APIRanker("m", asked.key, provider, url=asked.url + path).rank(asked.query, asked.documents)
    assert [one.rank for one in found.results] == list(range(1, len(asked.documents) + 1))
    return [(one.doc_id, one.score) for one in found][: asked.top_n]


# ---------------------------------------------------------------------- litellm


@call
def litellm_cohere(asked: Asked) -> Results:
    return _litellm(asked, "cohere", "")


@call
def litellm_cohere_v1(asked: Asked) -> Results:
    return _litellm(asked, "cohere", "/v1/rerank")


@call
def litellm_cohere_v2(asked: Asked) -> Results:
    return _litellm(asked, "cohere", "/v2/rerank")


@call
def litellm_vllm(asked: Asked) -> Results:
    return _litellm(asked, "hosted_vllm", "")


@call
def litellm_infinity(asked: Asked) -> Results:
    return _litellm(asked, "infinity", "/infinity")


@call
def litellm_huggingface(asked: Asked) -> Results:
    return _litellm(asked, "huggingface", "")


@call
def litellm_jina(asked: Asked) -> Results:
    return _litellm(asked, "jina_ai", "")


@call
def litellm_jina_v1(asked: Asked) -> Results:
    return _litellm(asked, "jina_ai", "/v1/rerank")


def _litellm(asked: Asked, provider: str, path: str) -> Results:
    import litellm

    litellm.suppress_debug_info = True
    answer = litellm.rerank(
        model=f"{provider}/m", query=asked.query, documents=asked.documents, top_n=asked.top_n,
        api_base=asked.url + path, api_key=asked.key, return_documents=True,
    )  # fmt: skip
    return [(one["index"], one["relevance_score"]) for one in answer.results][: asked.top_n]


# ---------------------------------------------------------------------- others


@call
def infinity(asked: Asked) -> Results:
    from infinity_client import AuthenticatedClient
    from infinity_client.api.default import rerank
    from infinity_client.models import RerankInput

    client = AuthenticatedClient(base_url=f"{asked.url}/infinity", token=asked.key, raise_on_unexpected_status=True)
    body = RerankInput(query=asked.query, documents=asked.documents, top_n=asked.top_n, return_documents=True)
    answer = rerank.sync(client=client, body=body)
    assert [one.document for one in answer.results] == [asked.documents[one.index] for one in answer.results]
    return [(one.index, one.relevance_score) for one in answer.results]


@call
def vllm_score(asked: Asked) -> Results:
    """What vLLM's own examples send, by requests."""
    answer = _posted(asked, "/v1/score", {"model": "m", "text_1": asked.query, "text_2": asked.documents})
    found = [(one["index"], one["score"]) for one in answer["data"]]
    return sorted(found, key=lambda one: -one[1])[: asked.top_n]


@call
def open_webui(asked: Asked) -> Results:
    """What its external reranker sends, by requests: all documents are wanted back."""
    body = {"model": "m", "query": asked.query, "documents": asked.documents, "top_n": len(asked.documents)}
    answer = _posted(asked, "/v1/rerank", body)
    assert len(answer["results"]) == len(asked.documents)
    return [(one["index"], one["relevance_score"]) for one in answer["results"]][: asked.top_n]


@call
def weaviate(asked: Asked) -> Results:
    """What its module sends, by requests; scores come in the order of the input."""
    answer = _posted(asked, "/rerank", {"query": asked.query, "documents": asked.documents, "property": "text"})
    found = asked.places([(one["document"], one["score"]) for one in answer["scores"]])
    return sorted(found, key=lambda one: -one[1])[: asked.top_n]


def _posted(asked: Asked, path: str, body: dict[str, Any]) -> Any:
    import requests

    answer = requests.post(asked.url + path, json=body, headers=_headers(asked), timeout=60)
    answer.raise_for_status()
    return answer.json()


def _headers(asked: Asked) -> dict[str, str]:
    return {"Authorization": f"Bearer {asked.key}"}


def _of_nodes(asked: Asked, postprocessor: Any) -> Results:
    from llama_index.core.schema import NodeWithScore, TextNode

    nodes = [NodeWithScore(node=TextNode(text=text), score=0.1) for text in asked.documents]
    found = postprocessor.postprocess_nodes(nodes, query_str=asked.query)
    return asked.places([(one.node.text, one.score) for one in found])


def outcomes(asked: Asked) -> Iterator[dict[str, Any]]:
    """What became of each call whose package is there, and at last the names of the others."""
    absent = []
    for name, function in CALLS.items():
        try:
            yield {"call": name, "results": function(asked)}
        except ModuleNotFoundError:
            absent.append(name)
        except Exception as error:  # whatever a client raises is what the test tells
            yield {"call": name, "error": f"{type(error).__name__}: {error}"}
    yield {"absent": absent}


#: nothing is asked or told on the network but what is called
ALONE = {"HAYSTACK_TELEMETRY_ENABLED": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}

if __name__ == "__main__":
    os.environ.update(ALONE)
    for outcome in outcomes(Asked(sys.argv[1], sys.argv[2], **json.load(sys.stdin))):
        print(json.dumps(outcome), flush=True)
