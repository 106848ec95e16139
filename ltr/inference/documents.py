"""What every ranker takes and gives: queries and documents, checked alike, and places of a ranking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from ltr.errors import DataError
from ltr.io.trec import Run

#: a document: its text, or a mapping with "text" and perhaps "title"
Document = str | Mapping[str, str]


@dataclass(frozen=True)
class Ranked:
    """One place of a ranking.

    Attributes:
        id: the document's id, or its index as text where none were given.
        score: larger is better; comparable within one query, unless it is a probability.
        rank: from 1.
        index: where the document stood in the input.
    """

    id: str
    score: float
    rank: int
    index: int


def text_of(doc: Document, query: str, name: str) -> str:
    """What the model reads of a document: its title, if there is one, and its text."""
    if isinstance(doc, str):
        check_encodable(doc, f"document {name} of query {query}")
        return doc
    parts = [doc.get("title") or "", doc.get("text")] if isinstance(doc, Mapping) else [None]
    if not all(isinstance(part, str) for part in parts):
        raise DataError(
            f"Reranker: document {name} of query {query} must be a string, or a mapping with a string under text (and "
            f"title), got {doc!r:.80}"
        )
    text = " ".join(part for part in parts if part)
    check_encodable(text, f"document {name} of query {query}")
    return text


def check_encodable(text: str, what: str) -> None:
    """Raise DataError for half a surrogate pair, which no tokenizer can read: the text would be scored as if empty."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise DataError(
            f"Reranker: {what} holds {half!a}, half of a surrogate pair, at character {error.start}: it was cut inside a "
            f"character, or read in another encoding; cut it before, or put {chr(0xFFFD)!a} in its place"
        ) from None


def check_several(what: str, values: object, instead: str) -> None:
    """Raise DataError for one text, or one document, where a sequence of them is meant, and for what has no order or length."""
    if isinstance(values, (str, bytes, Mapping)):
        raise DataError(f"Reranker: {what} must be a sequence, got {values!r:.80}; give {instead}")
    if isinstance(values, (Set, Iterator)):
        raise DataError(f"Reranker: {what} must be a sequence, got a {type(values).__name__}; make a list of it")


def check_query(query: str, name: str) -> None:
    """Raise DataError unless a query has text."""
    if not isinstance(query, str) or not query.strip():
        raise DataError(f"Reranker: query {name} must be a text that is not empty, got {query!r}")
    check_encodable(query, f"query {name}")


def same_number(what: str, wanted: int, **given: Sequence | None) -> None:
    for name, values in given.items():
        if values is not None and len(values) != wanted:
            raise DataError(f"Reranker: {name} must have one entry for each of the {wanted} {what}, got {len(values)}")


def mixed_scores(first: Sequence[float], second: np.ndarray, weight: float) -> np.ndarray:
    """Both stages' scores of one list, mixed as ``ltr.metrics.interpolate`` does."""
    from ltr.metrics import interpolate

    if not len(second):
        return second
    one, two = (Run.from_dict({"q": {str(i): float(s) for i, s in enumerate(own)}}) for own in (first, second))
    mixed = interpolate(one, two, weight).to_dict()["q"]
    return np.array([mixed[str(i)] for i in range(len(second))], np.float64)
