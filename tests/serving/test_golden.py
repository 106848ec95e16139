"""Bodies of every dialect, whole: what a client of it reads stands where it looks."""

from __future__ import annotations

import re

import pytest

BODIES = {
    "cohere_v1": (
        "/v1/rerank",
        {"query": "sort", "documents": ["a list", "b"], "return_documents": True, "model": "m"},
        {
            "id": "ID", "model": "demo", "object": "list",
            "results": [
                {"index": 0, "relevance_score": 0.5, "document": {"text": "a list"}},
                {"index": 1, "relevance_score": 0.5, "document": {"text": "b"}},
            ],
            "usage": {"prompt_tokens": 11, "total_tokens": 11},
            "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": 11}},
        },
    ),
    "cohere_v2": (
        "/v2/rerank",
        {"query": "sort", "documents": ["a list"], "top_n": 1},
        {
            "id": "ID", "results": [{"index": 0, "relevance_score": 0.5}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": 6}},
            "model": "demo", "usage": {"prompt_tokens": 6, "total_tokens": 6},
        },
    ),
    "tei": (
        "/rerank",
        {"query": "sort", "texts": ["a list", "b"], "return_text": True},
        [{"index": 0, "text": "a list", "score": 0.5}, {"index": 1, "text": "b", "score": 0.5}],
    ),
    "infinity": (
        "/rerank",
        {"query": "sort", "documents": ["a list"]},
        {
            "object": "rerank", "results": [{"index": 0, "relevance_score": 0.5}], "model": "demo",
            "usage": {"prompt_tokens": 6, "total_tokens": 6}, "id": "ID", "created": 1,
            "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": 6}},
        },
    ),
    "infinity alone": (
        "/infinity/rerank",
        {"query": "sort", "documents": ["a list", "b"], "return_documents": True},
        {
            "object": "rerank",
            "results": [
                {"index": 0, "relevance_score": 0.5, "document": "a list"},
                {"index": 1, "relevance_score": 0.5, "document": "b"},
            ],
            "model": "demo", "usage": {"prompt_tokens": 11, "total_tokens": 11}, "id": "ID", "created": 1,
            "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": 11}},
        },
    ),
    "vllm_rerank": (
        "/v1/rerank",
        {"query": "sort", "documents": "a list", "use_activation": True},
        {
            "id": "rerank-ID", "model": "demo", "usage": {"prompt_tokens": 6, "total_tokens": 6},
            "results": [{"index": 0, "relevance_score": 0.5}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": 6}},
        },
    ),
    "vllm_score": (
        "/v1/score",
        {"text_1": "sort", "text_2": ["a list", "b"]},
        {
            "id": "score-ID", "object": "list", "created": 1, "model": "demo",
            "data": [{"index": 0, "object": "score", "score": 0.5}, {"index": 1, "object": "score", "score": 0.5}],
            "usage": {"prompt_tokens": 11, "total_tokens": 11},
        },
    ),
    "weaviate": (
        "/rerank",
        {"query": "sort", "documents": ["a list", "b"], "property": "text"},
        {"query": "sort", "scores": [{"document": "a list", "score": 0.5}, {"document": "b", "score": 0.5}]},
    ),
}  # fmt: skip


def plain(value):
    """Without what differs from answer to answer: scores are 0.5, ids ID, times 1, results in the order of the input."""
    if isinstance(value, dict):
        return {k: 1 if k == "created" else plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return sorted((plain(one) for one in value), key=lambda one: one.get("index", 0))
    if isinstance(value, float):
        return 0.5
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", value) if isinstance(value, str) else value


@pytest.mark.parametrize("name", BODIES)
def test_bodies(name, client):
    path, body, wanted = BODIES[name]
    found = client.post(path, json=body).json()
    assert plain(found) == wanted


def test_opensearch_can_cast(client):
    """Its functions for Cohere cast index to a whole number and the score to one with a point, and want every document."""
    docs = ["a", "b", "c"]
    text = client.post("/v1/rerank", json={"query": "q", "documents": docs, "top_n": len(docs)}).text
    assert sorted(re.findall(r'"index":(\d+)[,}]', text)) == ["0", "1", "2"]
    assert all(
        re.fullmatch(r"\d+\.\d+(e-\d+)?|\d+e-\d+", score) for score in re.findall(r'"relevance_score":([^,}]+)', text)
    )


def test_elasticsearch_finds_its_paths(client):
    """$.results[*].relevance_score and $.results[*].index, never negative, as many as the window."""
    body = client.post("/rerank", json={"query": "q", "documents": ["a", "b", "c"]}).json()
    assert len([r["index"] for r in body["results"]]) == 3
    assert all(r["relevance_score"] >= 0 for r in body["results"])
