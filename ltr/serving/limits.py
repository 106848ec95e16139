"""How much one request may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from ltr.serving.problems import Problem
from ltr.serving.request import Request


@dataclass(frozen=True)
class Limits:
    """Bounds of one request.

    Attributes:
        documents: of all queries together.
        body_bytes: of the body, before it is read as JSON.
        query_characters: of each query.
        tokens: that would be computed, the query counted for each document.
        body_seconds: until the whole body is there.
    """

    documents: int = 1000
    body_bytes: int = 10_000_000
    query_characters: int = 20_000
    tokens: int = 1_000_000
    body_seconds: float = 60.0

    def check_body(self, size: int) -> None:
        """Raise Problem for a body of too many bytes."""
        if size > self.body_bytes:
            raise Problem(
                "body", f"the body may have {self.body_bytes:,} bytes, and has more; send fewer documents at a time"
            )

    def check(self, request: Request) -> None:
        """Raise Problem for too many documents or a query that is too long."""
        if request.n_docs > self.documents:
            raise Problem(
                "invalid",
                f"a request may have {self.documents:,} documents, got {request.n_docs:,}; split them over several requests",
            )
        longest = max(map(len, request.queries), default=0)
        if longest > self.query_characters:
            raise Problem(
                "invalid",
                f"a query may have {self.query_characters:,} characters, got {longest:,}; ask a shorter question",
            )

    def check_tokens(self, tokens: int) -> None:
        """Raise Problem for too many tokens."""
        if tokens > self.tokens:
            raise Problem(
                "invalid",
                f"a request may have {self.tokens:,} tokens, the query counted for each document, got {tokens:,}; send fewer "
                "or shorter documents, or bound them by max_tokens_per_doc",
            )
