"""Parts of bodies that several dialects share."""

from __future__ import annotations

import uuid

from ltr.serving.dialects.base import Answer, Json
from ltr.serving.problems import Problem

#: documents that one search unit stands for in Cohere's counting
UNIT = 100


def results(answer: Answer) -> list[Json]:
    """Best first; with ``document`` where that was asked for, and without the key where not."""
    texts = answer.asked.texts if answer.asked.show else None
    return [
        {
            "index": doc,
            "relevance_score": answer.shown[doc],
            **({"document": {"text": texts[doc]}} if texts is not None else {}),
        }
        for doc in answer.order
    ]


def usage(answer: Answer) -> Json:
    """Tokens that were computed."""
    return {"prompt_tokens": answer.result.tokens, "total_tokens": answer.result.tokens}


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


def cohere_refusal(problem: Problem) -> Json:
    """``{id, message}``."""
    return {"id": str(uuid.uuid4()), "message": problem.text}


#: kind of problem -> its type in errors of OpenAI's form
TYPES = {
    "syntax": "BadRequestError",
    "key": "AuthenticationError",
    "model": "NotFoundError",
    "path": "NotFoundError",
    "invalid": "BadRequestError",
    "body": "BadRequestError",
    "overloaded": "RateLimitError",
    "deadline": "APITimeoutError",
    "slow": "APITimeoutError",
    "unready": "ServiceUnavailableError",
    "memory": "ServiceUnavailableError",
}


def openai_refusal(problem: Problem) -> Json:
    """``{"error": {message, type, param, code}}``."""
    return {
        "error": {
            "message": problem.text,
            "type": TYPES.get(problem.kind, "InternalServerError"),
            "param": problem.field,
            "code": problem.status,
        }
    }
