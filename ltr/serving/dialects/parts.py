"""Parts of bodies that several dialects share."""

from __future__ import annotations

from ltr.serving.dialects.base import Answer, Json


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
