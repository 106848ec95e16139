"""vLLM's reranking, wherever a body has a field that it alone has."""

from __future__ import annotations

from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.dialects.cohere import meta
from ltr.serving.dialects.fields import RERANKING, reranking
from ltr.serving.dialects.openai_errors import openai_refusal
from ltr.serving.dialects.parts import results, usage
from ltr.serving.problems import Problem

#: fields that no other dialect has
OWN = frozenset({"use_activation", "truncate_prompt_tokens", "instruction"})


class VllmRerank(Dialect):
    """``query, documents`` → ``id, model, usage, results``."""

    name = "vllm_rerank"
    known = RERANKING

    def read(self, body: Body) -> Asked:
        return reranking(body, self.known)

    def write(self, answer: Answer) -> Json:
        return {
            "id": f"rerank-{answer.id}",
            "model": answer.result.model,
            "usage": usage(answer),
            "results": results(answer),
            "meta": meta(answer, "2"),
        }

    def refusal(self, problem: Problem) -> Json:
        return openai_refusal(problem)
