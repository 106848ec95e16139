"""What can go wrong with a request, told by kind; each dialect has its own words and shape for a kind."""

from __future__ import annotations

from ltr.errors import LtrError

#: kind of problem -> HTTP status that most dialects give it
STATUS = {
    "syntax": 400,  # the body is no JSON object
    "empty": 400,  # no text where the dialect wants one
    "key": 401,  # no key, or a wrong one
    "model": 404,  # no model of that name
    "path": 404,  # no such address
    "method": 405,  # not with this method
    "slow": 408,  # the body did not come in time
    "body": 413,  # the body has too many bytes
    "invalid": 422,  # a field that cannot be used as it is
    "overloaded": 429,  # more waits than can be computed in time
    "gone": 499,  # the client left
    "internal": 500,  # a mistake of the server's
    "scores": 500,  # the model's scores are not finite
    "unready": 503,  # the models are not loaded yet, or the server ends
    "memory": 503,  # memory did not hold a single document
    "deadline": 504,  # the client's own deadline has passed
}


class Problem(LtrError):
    """A request that is refused or failed; the text says what to change, and never holds a document.

    Args:
        kind: one of ``STATUS``.
        text: the sentence for the client.
        field: the field of the body that it is about.
        retry_after: seconds after which it is worth trying again.
    """

    def __init__(self, kind: str, text: str, field: str | None = None, retry_after: int | None = None):
        super().__init__(text)
        self.kind, self.text, self.field, self.retry_after = kind, text, field, retry_after

    @property
    def status(self) -> int:
        """The HTTP status of its kind."""
        return STATUS[self.kind]
