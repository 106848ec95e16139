"""The dialects as a client sees them: how a body is made, and where the answer stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Json = Any


@dataclass(frozen=True)
class Found:
    """A result: index, score, and the text where it came back."""

    index: int
    score: float
    text: str | None = None


@dataclass(frozen=True)
class Wire:
    """A dialect.

    Attributes:
        name: of the dialect.
        path: where it is spoken.
        fields: query, documents -> body.
        results: body of the answer -> results, in their order.
        sentence: body of a refusal -> its sentence.
        ranked: results come best first, else in the order of the input.
        cuts: it knows ``top_n``.
        shows: the field that asks for texts; None where it has none.
        documents: the field of documents.
    """

    name: str
    path: str
    fields: Callable[[str, Sequence[Json]], dict[str, Json]]
    results: Callable[[Json], list[Found]]
    sentence: Callable[[Json], str]
    ranked: bool = True
    cuts: bool = True
    shows: str | None = "return_documents"
    documents: str = "documents"


def _plain(query: str, docs: Sequence[Json]) -> dict[str, Json]:
    return {"query": query, "documents": docs}


def _results(body: Json) -> list[Found]:
    return [
        Found(r["index"], r["relevance_score"], r["document"]["text"] if "document" in r else None)
        for r in body["results"]
    ]


def _tei(body: Json) -> list[Found]:
    return [Found(r["index"], r["score"], r.get("text")) for r in body]


def _infinity(body: Json) -> list[Found]:
    return [Found(r["index"], r["relevance_score"], r["document"]) for r in body["results"]]


def _message(body: Json) -> str:
    assert set(body) == {"id", "message"}
    return body["message"]


def _openai(body: Json) -> str:
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]["message"]


def _tei_error(body: Json) -> str:
    assert set(body) == {"error", "error_type"}
    return body["error"]


WIRES = [
    Wire("cohere_v1", "/v1/rerank", _plain, _results, _message),
    Wire("cohere_v2", "/v2/rerank", _plain, _results, _message),
    Wire("infinity", "/rerank", _plain, _results, _openai),
    Wire("vllm_rerank", "/rerank", lambda q, d: {**_plain(q, d), "use_activation": True}, _results, _openai),
    Wire("vllm_rerank", "/v2/rerank", lambda q, d: {**_plain(q, d), "use_activation": True}, _results, _openai),
    Wire("vllm_score", "/score", lambda q, d: {"text_1": q, "text_2": d},
         lambda body: [Found(r["index"], r["score"]) for r in body["data"]], _openai, ranked=False, cuts=False, shows=None,
         documents="text_2"),
    Wire("tei", "/rerank", lambda q, d: {"query": q, "texts": d}, _tei, _tei_error, cuts=False, shows="return_text",
         documents="texts"),
    Wire("weaviate", "/rerank", lambda q, d: {**_plain(q, d), "property": "text"},
         lambda body: [Found(i, r["score"], r["document"]) for i, r in enumerate(body["scores"])],
         lambda body: body["error"], ranked=False, cuts=False, shows=None),
    Wire("infinity", "/infinity/rerank", _plain, _infinity, _openai),
    Wire("infinity", "/invocations", _plain, _results, _openai),
    Wire("tei", "/", lambda q, d: {"query": q, "texts": d}, _tei, _tei_error, cuts=False, shows="return_text",
         documents="texts"),
]  # fmt: skip
