"""A first stage by vectors: the documents of a collection nearest to each query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ltr.data.collections.collection import Collection
from ltr.errors import ConfigError, DataError, MissingExtra
from ltr.io.caching.cache_folder import cache_folder
from ltr.io.caching.keys import key_of_facts
from ltr.io.runs import Run
from ltr.search import exact
from ltr.search.encoding import TextEncoding, encode, facts_of
from ltr.search.index import SPARSE, Index, VectorIndex, refuse_other
from ltr.search.kinds import open_index

#: queries on which an approximate index is compared with exact search
COMPARED = 1000


def retrieve(
    encoding: TextEncoding,
    index: Index,
    queries: Mapping[str, str],
    k: int = 100,
    name: str = "dense",
    factory: str | None = None,
    search_options: str | None = None,
) -> tuple[Run, float | None]:
    """The ``k`` documents of an index nearest to each query.

    Args:
        encoding: the model that the index was made with.
        index: the documents.
        queries: query id -> text.
        k: documents per query, at least 1; where the collection has fewer, all. Sparse vectors find documents that share a
            word with the query, and no others.
        name: of the run.
        factory: one of faiss's index factory strings, such as ``HNSW32`` or ``IVF1024,Flat``; None searches exactly.
        search_options: faiss's search parameters for it, such as ``nprobe=32``.

    Returns:
        The run, and the recall of an approximate index: the share of the exact best k that it found, of up to
        ``COMPARED`` queries; None for exact search.

    Raises:
        ConfigError: k below 1, or a string that faiss refuses, or one beside sparse vectors.
        DataError: a query without text; a vector that is not finite.
        MissingExtra: a factory string, and faiss is not installed.
    """
    check_request(encoding, queries, factory)
    vectors = encoding.queries(queries.values(), queries)
    recall = None
    if factory is None:
        best = index.search(vectors, k, encoding.device)
    else:
        assert isinstance(index, VectorIndex)
        assert isinstance(vectors, np.ndarray)
        rows = _approximate(vectors, index, k, factory, search_options)
        best = exact.scored(vectors, index.shards, rows, index.place)
        some = index.search(vectors[:COMPARED], k, encoding.device).rows
        found = [len(np.intersect1d(a[a >= 0], b)) for a, b in zip(best.rows, some, strict=False)]
        recall = float(np.sum(found) / max(some.size, 1))
    held = best.rows >= 0
    offsets = np.concatenate([[0], np.cumsum(held.sum(1))])
    docs = index.ids.raw[best.rows[held]]
    return Run(list(queries), offsets, docs, best.scores[held].astype(np.float64), name, copy=False), recall


def check_request(encoding: TextEncoding, queries: Mapping[str, str], factory: str | None = None) -> None:
    """Refuse what ``retrieve`` cannot do, before documents are encoded for it; see there."""
    empty = [query_id for query_id, text in queries.items() if not text.strip()]
    if empty:
        raise DataError(f"retrieve: query {empty[0]} has no text ({len(empty)} such); give it one or take it out")
    if factory is None:
        return
    if encoding.similarity == SPARSE:
        raise ConfigError(
            f"retrieve: the index {factory!r} of faiss holds vectors of a bi-encoder; sparse ones are searched exactly, by "
            "their words: leave --faiss out"
        )
    try:
        import faiss  # noqa: F401 (comes with an extra)
    except ImportError:
        raise MissingExtra("faiss", "faiss", f"for the index {factory}") from None


def opened(encoding: TextEncoding, collection: Collection, folder: str | Path) -> Index:
    """An index of a collection by a model.

    Raises:
        DataError: it was made from other weights or documents, has another width, or lacks shards.
    """
    index = open_index(folder)
    wanted = facts_of(encoding, collection)
    refuse_other(index.folder, index.facts, wanted, ("width", "weights", "texts", "rows", "similarity"))
    return index


def cached(encoding: TextEncoding, collection: Collection, progress: bool = False) -> Index:
    """The index of a collection by a model in the user's cache, made where it is not there, gone on with where it was begun."""
    facts = facts_of(encoding, collection)
    key = key_of_facts(asdict(facts), 20)
    folder = cache_folder("vectors") / key
    encode(encoding, collection, folder, progress=progress)
    return open_index(folder)


def _approximate(vectors: np.ndarray, index: VectorIndex, k: int, factory: str, options: str | None) -> np.ndarray:
    """[queries, k] rows by an index of faiss; -1 where it found none."""
    import faiss

    parameters: Any = faiss.ParameterSpace()
    try:
        made = faiss.index_factory(index.facts.width, factory, faiss.METRIC_INNER_PRODUCT)
        if not made.is_trained:
            made.train(np.concatenate([np.asarray(shard, np.float32) for shard in index.shards]))
        for shard in index.shards:
            made.add(np.asarray(shard, np.float32))
        if options:
            parameters.set_index_parameters(made, options)
        return made.search(vectors, min(k, len(index)))[1]
    except RuntimeError as error:
        reason = str(error).strip().rpartition(": ")[2].splitlines()[0]
        raise ConfigError(
            f"retrieve: faiss refuses the index {factory!r}{f' with {options!r}' if options else ''}: {reason}"
        ) from error
