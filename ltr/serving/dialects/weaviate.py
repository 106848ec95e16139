"""``POST /rerank`` with ``property``: what Weaviate's reranker-transformers module speaks."""

from __future__ import annotations

from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.dialects.fields import checked, reranking
from ltr.serving.problems import Problem


class Weaviate(Dialect):
    """``query, documents, property`` → ``query, scores[document, score]``, in the order of the input."""

    name = "weaviate"
    known = frozenset(
        [
            "model",
            "query",
            "documents",
            "property",
            "max_tokens_per_doc",
            "priority",
            "raw_scores",
            "use_activation",
            "rank_fields",
        ]
    )

    def read(self, body: Body) -> Asked:
        if body["property"] is not None:
            checked(body["property"], "property")
        return reranking(body, self.known)

    def write(self, answer: Answer) -> Json:
        texts, query = answer.asked.texts, answer.asked.request.queries[0]
        scores = [{"document": text, "score": score} for text, score in zip(texts, answer.shown, strict=True)]
        return {"query": query, "scores": scores}

    def refusal(self, problem: Problem) -> Json:
        return {"error": problem.text}
