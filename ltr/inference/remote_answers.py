"""What a reranking server says: scores, limits, when to come back, and why it refuses."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np

from ltr.errors import ServerError

#: statuses of a server that works and has no room now
BUSY = (429, 503)
#: seconds until the first next try where the server says nothing; doubled each time
FIRST_PAUSE = 0.25


class Waiting:
    """How long to wait for a busy server.

    Args:
        patience: seconds of waiting, in all.
    """

    def __init__(self, patience: float):
        self.left, self.next = patience, FIRST_PAUSE

    def pause(self, answer: Any) -> float | None:
        """Seconds until the next try; None where the answer is final, or patience would end before."""
        if answer.status_code not in BUSY:
            return None
        wanted = retry_after(answer.headers.get("retry-after"))
        # "0" again and again would ask without end, and keep the server busy
        pause = self.next if wanted is None else max(wanted, FIRST_PAUSE)
        self.next *= 2
        self.left -= pause
        return pause if self.left >= 0 else None


def retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, which holds seconds or a date; None where it holds neither.

    >>> retry_after("3"), retry_after(None), retry_after("soon")
    (3.0, None, None)
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def batch_limit(answer: Any, usual: int, url: str) -> int:
    """Documents that ``/info`` says one request may have; ``usual`` where it does not say."""
    info = _json(answer, url)
    limit = info.get("max_client_batch_size", usual) if isinstance(info, dict) else None
    if not isinstance(limit, int) or limit < 1:
        raise ServerError(
            f"RemoteReranker: {url}/info should say under max_client_batch_size how many texts a request may have, got "
            f"{limit!r}"
        )
    return limit


def scores_of(answer: Any, count: int, url: str) -> np.ndarray:
    """[count] float64 scores in the order of the request.

    Raises:
        ServerError: not every document has one finite score.
    """
    rows = _json(answer, url)
    scores = np.full(count, np.nan)
    try:
        for row in rows:
            if row["index"] < 0:
                raise IndexError(f"index {row['index']} is below 0")
            if not np.isnan(scores[row["index"]]):
                raise ValueError(f"document {row['index']} has two scores")
            scores[row["index"]] = float(row["score"])
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise ServerError(
            f"RemoteReranker: {url} should answer with a list of index and score for {count} documents, got "
            f"{answer.text[:200]!r} ({error})"
        ) from error
    if not np.isfinite(scores).all():
        missing = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ServerError(f"RemoteReranker: {url} answers without a finite score of document {missing} of {count}")
    return scores


def told(answer: Any) -> str:
    """Why a server refuses, in its own words."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:300] or answer.reason_phrase
    reason = body
    for key in ("error", "message", "detail"):
        if isinstance(reason, dict) and key in reason:
            reason = reason[key]
    return str(reason)[:300]


def _json(answer: Any, url: str) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise ServerError(
            f"RemoteReranker: {url} should answer in JSON, got {answer.text[:80]!r}; is this a reranking server?"
        ) from None
