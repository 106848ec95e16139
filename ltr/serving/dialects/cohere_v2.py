"""``POST /v2/rerank``: Cohere's second version."""

from __future__ import annotations

from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.dialects.fields import RERANKING, reranking
from ltr.serving.dialects.parts import cohere_refusal, meta, results, usage
from ltr.serving.problems import Problem


class CohereV2(Dialect):
    """``query, documents`` → ``id, results[index, relevance_score], meta``, with vLLM's ``model`` and ``usage`` beside."""

    name = "cohere_v2"
    known = RERANKING

    def read(self, body: Body) -> Asked:
        return reranking(body, self.known)

    def write(self, answer: Answer) -> Json:
        return {
            "id": answer.id,
            "results": results(answer),
            "meta": meta(answer, "2"),
            "model": answer.result.model,
            "usage": usage(answer),
        }

    def refusal(self, problem: Problem) -> Json:
        return cohere_refusal(problem)
