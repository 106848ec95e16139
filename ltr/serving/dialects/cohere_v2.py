"""``POST /v2/rerank``: Cohere's second version."""

from __future__ import annotations

from ltr.serving.dialects.base import Answer, Json
from ltr.serving.dialects.cohere import Cohere, meta
from ltr.serving.dialects.parts import results, usage


class CohereV2(Cohere):
    """``query, documents`` → ``id, results[index, relevance_score], meta``, with vLLM's ``model`` and ``usage`` beside."""

    name = "cohere_v2"

    def write(self, answer: Answer) -> Json:
        return {
            "id": answer.id,
            "results": results(answer),
            "meta": meta(answer, "2"),
            "model": answer.result.model,
            "usage": usage(answer),
        }
