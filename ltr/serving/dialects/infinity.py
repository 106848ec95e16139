"""``POST /rerank`` without ``texts``: Infinity's body, which also serves clients of Jina's and vLLM's.

Infinity's ``document`` is a plain text, those of the others are ``{text}``, and their requests are the same: so ``/rerank`` answers
as the others do, and ``/infinity/rerank`` as Infinity does."""

from __future__ import annotations

from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.dialects.cohere import meta
from ltr.serving.dialects.fields import RERANKING, reranking
from ltr.serving.dialects.openai_errors import openai_refusal
from ltr.serving.dialects.parts import results, usage
from ltr.serving.problems import Problem


class Infinity(Dialect):
    """``query, documents`` → ``object: rerank, results, model, usage, id, created``."""

    name = "infinity"
    known = RERANKING

    def read(self, body: Body) -> Asked:
        return reranking(body, self.known)

    def write(self, answer: Answer) -> Json:
        return {
            "object": "rerank",
            "results": results(answer),
            "model": answer.result.model,
            "usage": usage(answer),
            "id": answer.id,
            "created": answer.created,
            "meta": meta(answer, "1"),
        }

    def refusal(self, problem: Problem) -> Json:
        return openai_refusal(problem)


class InfinityAlone(Infinity):
    """For clients of Infinity alone: ``document`` is a text, null where it was not asked for."""

    def write(self, answer: Answer) -> Json:
        body = super().write(answer)
        for one in body["results"]:
            one["document"] = one["document"]["text"] if "document" in one else None
        return body
