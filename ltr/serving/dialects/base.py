"""What every dialect does: reads a body, writes an answer, tells a problem."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ltr.serving.problems import Problem
from ltr.serving.request import Request, Result

#: a JSON value, as ``json.loads`` gives it
Json = Any
Body = Mapping[str, Json]


@dataclass(frozen=True)
class Asked:
    """A body as it was understood: what is to be scored, and how the answer shall look.

    Attributes:
        request: what is to be scored.
        top_n: so many results; None for all.
        raw: the model's scores as they are, not in [0, 1].
        show: the documents' texts come back.
        first_scores: of the first stage, for ``interpolate``; None for none.
        interpolate: the first stage's weight; True for that of the model, None for no mixing.
        warnings: sentences for the client.
    """

    request: Request
    top_n: int | None = None
    raw: bool = False
    show: bool = False
    first_scores: tuple[float, ...] | None = None
    interpolate: bool | float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        """The documents of all queries, in order."""
        return [text for own in self.request.documents for text in own]


@dataclass(frozen=True)
class Answer:
    """What a dialect writes.

    Attributes:
        asked: the request.
        result: what became of it.
        order: documents, best first, as many as were asked for.
        shown: [documents] the number that each is shown with.
        warnings: sentences for the client.
        id: of this answer.
        created: seconds since 1970.
    """

    asked: Asked
    result: Result
    order: Sequence[int]
    shown: Sequence[float]
    warnings: Sequence[str]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, asked: Asked, result: Result) -> Answer:
        """Sorted by what the model says, whatever is shown; equal scores keep the order of the input.

        Raises:
            Problem: mixing at the model's weight, where it has none.
        """
        if asked.interpolate is not None and asked.first_scores is not None:
            ordering = shown = _mixed(asked.first_scores, result, asked.interpolate)
        else:
            ordering, shown = result.scores, result.scores if asked.raw else result.probabilities
        order = np.argsort(-ordering.astype(np.float64), kind="stable")[: asked.top_n]
        warnings = list(asked.warnings)
        if result.cut_queries:
            warnings.append(
                f"the query was cut: the model reads its first {result.max_query_length} tokens; ask a shorter question"
            )
        return cls(asked, result, order.tolist(), shown.astype(np.float64).tolist(), warnings)

    @property
    def truncated(self) -> list[int]:
        """The documents that were not read to their end."""
        return np.flatnonzero(self.result.cut).tolist()


def _mixed(first: Sequence[float], result: Result, weight: bool | float) -> np.ndarray:
    """Both stages' scores, mixed as ``Reranker.rank(..., interpolate=)`` does."""
    from ltr.inference.documents import mixed_scores

    if weight is True and result.weight is None:
        raise Problem(
            "invalid",
            f"interpolate true needs a weight that was stored with the model, and {result.model} has none; give the first "
            "stage's weight as a number, such as 0.3",
            "interpolate",
        )
    own = float(result.weight) if weight is True and result.weight is not None else float(weight)
    return mixed_scores(first, result.scores.astype(np.float64), own)


class Dialect(ABC):
    """A wire format.

    Attributes:
        name: in metrics and logs.
        known: fields of the body; all others are ignored, and named in a warning.
    """

    name: ClassVar[str]
    known: ClassVar[frozenset[str]]

    @abstractmethod
    def read(self, body: Body) -> Asked:
        """What a body asks for. Raises Problem for one that cannot be understood."""

    @abstractmethod
    def write(self, answer: Answer) -> Json:
        """The body of an answer."""

    @abstractmethod
    def refusal(self, problem: Problem) -> Json:
        """The body that tells a problem."""

    def status(self, problem: Problem) -> int:
        """The HTTP status of a problem."""
        return problem.status
