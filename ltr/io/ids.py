"""What an id must be to stand in a TREC file: one word that every reader takes apart alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from numbers import Integral, Real

import numpy as np

from ltr.errors import DataError
from ltr.io.runs import Run

#: bytes of an id. All ids of a run take the room of its longest: one of 40 kB among a million would take 40 GB
LONGEST_ID = 1024
#: half of a pair, which no UTF-8 can hold
SURROGATE = re.compile("[\\ud800-\\udfff]")


def fault(name: str) -> str:
    """What an id must be and is not, as the end of a sentence; empty for a good one.

    >>> fault("d1"), fault("d 1")
    ('', 'must be one word')
    """
    if name.split() != [name]:
        return "must be one word"
    if "\0" in name:
        return "must not hold the character NUL"
    if not name.isascii() and SURROGATE.search(name):
        return "must be text of whole characters, and holds half of a surrogate pair"
    size = len(name.encode())
    return f"must have at most {LONGEST_ID:,} bytes, has {size:,}" if size > LONGEST_ID else ""


def query_fault(name: str) -> str:
    """``fault`` for an id of a query, which stands at the beginning of lines.

    >>> query_fault("q#1"), query_fault("#1")
    ('', 'must not begin with #, which marks a comment')
    """
    return "must not begin with #, which marks a comment" if name.startswith("#") else fault(name)


def check_ids(run: Run) -> None:
    """Raise DataError for an id of a run that could not be read again from a TREC file."""
    for query_id in run:
        _check(f"run {run.name}: query", query_id, query_fault)
    for at in np.flatnonzero(doubtful(run.doc_bytes)).tolist():
        _check(f"run {run.name}: document", run.doc_bytes[at].decode())


def check_judged(qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Raise DataError for an id or a grade of judgements that could not be read again from a TREC file."""
    for query_id, docs in qrels.items():
        _check("judgements: query", query_id, query_fault)
        for doc_id, grade in docs.items():
            _check("judgements: document", doc_id)
            if not isinstance(grade, Integral) and not (isinstance(grade, Real) and float(grade).is_integer()):
                raise DataError(
                    f"judgements: query {query_id}, document {doc_id}: the grade must be a whole number, got {grade!r}"
                )


def _check(who: str, name: str, wrong_with: Callable[[str], str] = fault) -> None:
    if wrong := wrong_with(name):
        raise DataError(f"{who} id {shown(name)} {wrong} to be written in TREC form")


def shown(name: str) -> str:
    """An id in an error message: not all of 40 kB."""
    return repr(name) if len(name) <= 80 else f"{name[:80]!r}..."


def doubtful(ids: np.ndarray) -> np.ndarray:
    """[entries] whether an id must be looked at by itself: what is plain ASCII without blanks is one word."""
    letters = ids.view(np.uint8).reshape(len(ids), ids.dtype.itemsize)
    doubtful = (letters >= 128).any(axis=1) | ((letters <= 32) & (letters > 0)).any(axis=1) | (letters[:, 0] == 0)
    doubtful |= ((letters[:, :-1] == 0) & (letters[:, 1:] != 0)).any(axis=1)  # behind an id stand zeros alone
    return doubtful | (ids.dtype.itemsize > LONGEST_ID)
