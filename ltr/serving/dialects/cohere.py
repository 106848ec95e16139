"""What Cohere's versions share: the request, the account of what was computed, and errors."""

from __future__ import annotations

import uuid

from ltr.serving.dialects.base import Answer, Asked, Body, Dialect, Json
from ltr.serving.dialects.fields import RERANKING, reranking
from ltr.serving.problems import Problem

#: documents that one search unit stands for in Cohere's counting
UNIT = 100


class Cohere(Dialect):
    """A version of Cohere's; errors are ``{id, message}``."""

    known = RERANKING

    def read(self, body: Body) -> Asked:
        return reranking(body, self.known)

    def refusal(self, problem: Problem) -> Json:
        return {"id": str(uuid.uuid4()), "message": problem.text}


def meta(answer: Answer, version: str) -> Json:
    """What Cohere tells beside the results, and which documents were cut."""
    found: dict[str, Json] = {
        "api_version": {"version": version},
        "billed_units": {"search_units": -(-answer.asked.request.n_docs // UNIT)},
        "tokens": {"input_tokens": answer.result.tokens},
    }
    if answer.truncated:
        found["truncated"] = answer.truncated
    if answer.warnings:
        found["warnings"] = list(answer.warnings)
    return found
