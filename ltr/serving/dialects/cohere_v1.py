"""``POST /v1/rerank``: Cohere's first version and Jina's, in one body that clients of both read."""

from __future__ import annotations

from ltr.serving.dialects.base import Answer, Json
from ltr.serving.dialects.cohere import Cohere, meta
from ltr.serving.dialects.parts import results, usage


class CohereV1(Cohere):
    """``query, documents`` → ``id, model, object, results[index, relevance_score, document?], usage, meta``."""

    name = "cohere_v1"

    def write(self, answer: Answer) -> Json:
        return {
            "id": answer.id,
            "model": answer.result.model,
            "object": "list",
            "results": results(answer),
            "usage": usage(answer),
            "meta": meta(answer, "1"),
        }
