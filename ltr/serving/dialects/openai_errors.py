"""Errors in OpenAI's form, which vLLM's and Infinity's clients read."""

from __future__ import annotations

from ltr.serving.dialects.base import Json
from ltr.serving.problems import Problem

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
