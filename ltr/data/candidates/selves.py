"""Queries that are documents of their own collection, which would find themselves first."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np

from ltr.data.collections.collection import Collection
from ltr.data.wording import same_text
from ltr.io.offsets import offsets_of
from ltr.io.runs import Run

log = logging.getLogger(__name__)

#: queries that are looked at first: where none of so many is a document, none is; a hundredth that are would be met
FEW = 1_000
#: documents whose texts are read at once
TEXTS = 10_000


def selves(collection: Collection, queries: Mapping[str, str] | None = None) -> frozenset[str]:
    """Queries that are documents too: a document of the same id has the same words, perhaps behind a title.

    So it is where arguments are asked for counter-arguments and questions for their like (BEIR's ArguAna and Quora). Such a
    document is no answer to itself, no miss of the model and no negative; published figures leave it out. An id alone
    says nothing: numbers of queries and of documents often meet by chance.

    Args:
        collection: whose documents.
        queries: query id -> text; the collection's own by default.
    """
    asked = collection.queries if queries is None else queries
    ids = list(asked)
    few = ids[:: -(-len(ids) // FEW) or 1]
    if not any(True for _ in _same(collection, asked, iter(few))):
        return frozenset()
    return frozenset(_same(collection, asked, iter(ids)))


def unjudged_selves(own: frozenset[str], collection: Collection) -> frozenset[str]:
    """Of queries that are documents, those that are not judged relevant to themselves."""
    judged = collection.qrels if own and collection.has_qrels else {}
    return frozenset(q for q in own if judged.get(q, {}).get(q, 0) < 1)


def tell_of_selves(drop: frozenset[str], n_queries: int, collection: Collection) -> None:
    """Say how many queries are documents, and left out of what is found for them."""
    if drop:
        log.warning(
            "%s: %d of %d queries are documents of it, such as %s: they are left out of what is found for them, as in published "
            "figures",
            *(collection.name, len(drop), n_queries, min(drop)),
        )


def without_selves(run: Run, own: frozenset[str], collection: Collection, k: int | None = None) -> Run:
    """A run without the documents that are their queries (``selves``), unless these are judged relevant to themselves.

    Args:
        run: what was found.
        own: queries that are documents.
        collection: whose judgements.
        k: keep so many documents of each query, the first.
    """
    drop = unjudged_selves(own, collection)
    tell_of_selves(drop, len(run), collection)
    return without(run, drop, k)


def without(run: Run, drop: frozenset[str], k: int | None = None) -> Run:
    """A run without the documents of some ids among what was found for the queries of the same ids; the first ``k`` of each query."""
    if drop:
        owners = np.repeat(np.arange(len(run)), np.diff(run.offsets))
        at = np.array([query_id.encode() if query_id in drop else b"" for query_id in run.query_ids], np.bytes_)
        kept = np.asarray(run.doc_bytes) != at[owners]
        lengths = np.bincount(owners[kept], minlength=len(run))
        run = Run(run.query_ids, offsets_of(lengths), run.doc_bytes[kept], run.scores[kept], run.name)
    return run if k is None else run.top(k)


def _same(collection: Collection, queries: Mapping[str, str], ids: Iterator[str]) -> Iterator[str]:
    """Those of the queries that are documents."""
    while chunk := list(islice(ids, TEXTS)):
        gone = set(collection.missing(chunk))
        there = [query_id for query_id in chunk if query_id not in gone]
        for query_id, text in zip(there, collection.texts(there) if there else (), strict=True):
            words = same_text(queries[query_id])
            if words and f" {same_text(text)}".endswith(f" {words}"):
                yield query_id
