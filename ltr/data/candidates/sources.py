"""First-stage candidates: which documents of each query a ranker gets to see."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ltr.data.candidates.selves import selves, without_selves
from ltr.data.collections.collection import Collection
from ltr.data.collections.ids import Ids
from ltr.errors import ConfigError, DataError
from ltr.io.merging import below
from ltr.io.names import suggestion
from ltr.io.offsets import offsets_of
from ltr.io.runs import Run
from ltr.io.sources import Source
from ltr.io.trec import opened, read_run


def retrieve(
    collection: Collection,
    queries: Mapping[str, str] | None = None,
    k: int = 100,
    k1: float = 1.2,
    b: float = 0.75,
    progress: bool = False,
) -> Run:
    """The ``k`` best documents of each query by BM25; see ``ltr.data.candidates.bm25.BM25`` for formula, terms and ties.

    A query that is a document itself does not find itself (see ``ltr.data.candidates.selves``).

    Args:
        collection: what to search; its index is built once and kept in the user's cache.
        queries: query id -> text; the collection's own by default.
        k: documents per query, at least 1.
        k1: how slowly repeated terms saturate, at least 0.
        b: how much long documents are held back, from 0 to 1.
        progress: whether to show a bar with an estimate.
    """
    from ltr.data.candidates.bm25 import BM25  # brings numba along, which costs half a second

    if k < 1:
        raise ConfigError(f"candidates: k must be at least 1, got {k}")
    asked = collection.queries if queries is None else queries
    own = selves(collection, asked)
    found = BM25(collection, k1, b, progress).search(asked, k + bool(own))
    return without_selves(found, own, collection, k) if own else found


def candidates(collection: Collection, source: str | os.PathLike = "bm25", k: int = 100, progress: bool = False) -> Run:
    """The first-stage run of a collection's queries, at most ``k`` documents each.

    Args:
        collection: whose queries and documents.
        source: ``bm25``; ``scoreddocs``, the scores that the data set brings; ``qrels``, the judged documents
            (all with score 0, hence in an order that says nothing about their grades); the name of a plain folder's
            run, which goes before these; or the path of a run in TREC form.
        k: documents per query, at least 1.
        progress: whether to show a bar with an estimate where there is something to compute.

    Raises:
        DataError: for an unknown source, a run without any query of the collection, or (naming file and line) a run
            with a document that the collection does not have.
    """
    if k < 1:
        raise ConfigError(f"candidates: k must be at least 1, got {k}")
    name = os.fspath(source)
    if name in collection.runs:
        return _of_file(collection.runs[name], collection, k)
    if name == "bm25":
        return retrieve(collection, k=k, progress=progress)
    if name == "scoreddocs":
        return _of_queries(collection.scoreddocs(), collection, "scoreddocs").top(k)
    if name == "qrels":
        judged = {q: dict.fromkeys(docs, 0.0) for q, docs in collection.qrels.items()}
        return _of_queries(Run.from_dict(judged, name="qrels"), collection, "qrels").top(k)
    if Path(name).is_file():
        return _of_file(Path(name), collection, k)
    if Path(name).exists() and not Path(name).is_dir():
        raise DataError(
            f"candidates: {name} is a pipe or a device, which can be read once only; write the run to a file and name that"
        )
    known = ["bm25", "scoreddocs", "qrels", *collection.runs]
    raise DataError(f"candidates: {name!r} is no file and no known source; {suggestion(name, known)}")


def with_relevant(run: Run, collection: Collection) -> Run:
    """A run with the relevant documents of each judged query below it, where it does not hold them.

    For a teacher, who shall score them too. What is judged and not in the collection is left out.
    """
    relevant = {
        query_id: [doc_id for doc_id, grade in judged.items() if grade >= 1]
        for query_id, judged in collection.qrels.items()
        if query_id in collection.queries
    }
    gone = set(collection.missing(doc_id for found in relevant.values() for doc_id in found))
    more = {q: {d: 0.0 for d in found if d not in gone} for q, found in relevant.items()}
    return below(run, Run.from_dict({q: docs for q, docs in more.items() if docs}))


def _of_file(path: Path, collection: Collection, k: int) -> Run:
    source = Source(path, "run")
    run = _of_queries(read_run(source), collection, str(path)).top(k)
    gone = collection.missing(Ids(run.doc_bytes))
    if gone:
        raise DataError(
            f"{path}:{_line_with(source, gone[0])}: document {gone[0]} is not in {collection.name} "
            f"({len(gone)} such documents); the run must speak of this collection's documents"
        )
    return run


def _of_queries(run: Run, collection: Collection, what: str) -> Run:
    """The part of a run that belongs to the collection's queries, in their order."""
    kept = [query_id for query_id in collection.queries if query_id in run]
    if not kept:
        raise DataError(
            f"candidates: {what} has {len(run)} queries, and none of the {len(collection.queries)} of {collection.name}"
        )
    spans = [run.span(query_id) for query_id in kept]
    offsets = offsets_of(np.array([span.stop - span.start for span in spans], np.int64))
    docs, scores = (np.concatenate([values[span] for span in spans]) for values in (run.doc_bytes, run.scores))
    return Run(kept, offsets, docs, scores, run.name)


def _line_with(source: Source, doc_id: str) -> int:
    with opened(source) as lines:
        return next(
            number
            for number, line in enumerate(lines, 1)
            if line.split()[2:3] == [doc_id] and line.split()[0][0] != "#"
        )
