"""``POST /rerank`` with ``texts``: Text Embeddings Inference."""

from __future__ import annotations

from dataclasses import replace

from ltr.serving.dialects import fields
from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.problems import Problem

#: kind of problem -> its type there
TYPES = {
    "unready": "Unhealthy",
    "scores": "Backend",
    "memory": "Backend",
    "internal": "Backend",
    "overloaded": "Overloaded",
    "empty": "Empty",
}
#: the same field in the words of this dialect
OWN = {"return_text": "return_documents"}


class Tei(Dialect):
    """``query, texts`` → ``[index, text?, score]``, best first."""

    name = "tei"
    known = frozenset(
        [
            "model",
            "query",
            "texts",
            "raw_scores",
            "return_text",
            "truncate",
            "truncation_direction",
            "max_tokens_per_doc",
            "priority",
            "use_activation",
        ]
    )

    def read(self, body: Body) -> Asked:
        own = {OWN.get(name, name): value for name, value in body.items() if name in self.known}
        if "documents" in body and "texts" not in body:
            raise Problem(
                "invalid",
                "texts is missing, which this address takes; send bodies with documents to /v1/rerank, /v2/rerank or /rerank",
                "texts",
            )
        asked = fields.reranking(own, {*self.known, *OWN.values()}, "texts")
        if not asked.request.n_docs:
            raise Problem("empty", "texts must not be empty; give at least one", "texts")
        cut = fields.switch({k: v for k, v in own.items() if v is not None}, "truncate", True)
        side = "Right" if own.get("truncation_direction") is None else own["truncation_direction"]
        if side not in ("Right", "right", "Left", "left"):
            raise Problem("invalid", "truncation_direction must be Right or Left", "truncation_direction")
        request = replace(asked.request, whole=not cut, from_end=side.lower() == "left")
        return replace(asked, request=request, warnings=fields.unknown(body, self.known))

    def write(self, answer: Answer) -> Json:
        texts = answer.asked.texts if answer.asked.show else None
        return [
            {"index": doc, **({"text": texts[doc]} if texts is not None else {}), "score": answer.shown[doc]}
            for doc in answer.order
        ]

    def refusal(self, problem: Problem) -> Json:
        return {"error": problem.text, "error_type": TYPES.get(problem.kind, "Validation")}

    def status(self, problem: Problem) -> int:
        return 424 if problem.kind == "scores" else problem.status
