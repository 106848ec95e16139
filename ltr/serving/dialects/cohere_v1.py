"""``POST /v1/rerank``: Cohere's first version and Jina's, in one body that clients of both read."""

from __future__ import annotations

from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.dialects.fields import RERANKING, reranking
from ltr.serving.dialects.parts import cohere_refusal, meta, results, usage
from ltr.serving.problems import Problem


class CohereV1(Dialect):
    """``query, documents`` → ``id, model, object, results[index, relevance_score, document?], usage, meta``."""

    name = "cohere_v1"
    known = RERANKING

    def read(self, body: Body) -> Asked:
        return reranking(body, self.known)

    def write(self, answer: Answer) -> Json:
        return {
            "id": answer.id,
            "model": answer.result.model,
            "object": "list",
            "results": results(answer),
            "usage": usage(answer),
            "meta": meta(answer, "1"),
        }

    def refusal(self, problem: Problem) -> Json:
        return cohere_refusal(problem)
