"""What training lists are drawn from, built from names and kept for the next start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ltr.data.candidates.bm25_tokenizer import ANALYSIS
from ltr.data.candidates.repeated import relevant_to_others
from ltr.data.candidates.selves import selves
from ltr.data.candidates.sources import candidates
from ltr.data.candidates.triples import read_triples, triples_file
from ltr.data.collections.collection import Collection
from ltr.data.lists.kept_pools import kept_pool
from ltr.data.lists.pools import (
    judged_pool,
    pairs_pool,
    random_subset,
    refuse_unscored,
    said,
    shorter_lists,
    teacher_pool,
)
from ltr.data.lists.sampling import Pool, Sampling, subset
from ltr.data.text.parts import ALL, TrainPart, facts_of, first_stage, judged_queries, refuse_empty, refuse_two_sources
from ltr.errors import ConfigError
from ltr.io.trec import Run


def train_part(
    collection: Collection,
    source: str | None,
    teacher: str | None,
    sampling: Sampling,
    n_queries: int | None,
    seed: int,
    progress: bool,
) -> TrainPart:
    """Training lists of a collection.

    Args:
        collection: queries, judgements and documents.
        source: where negatives come from (see ``candidates``), ``docpairs``, or a file of triples; None means ``bm25``.
        teacher: a run whose documents and scores are the lists and labels, instead of ``source``.
        sampling: how lists are made.
        n_queries: use so many of the queries, chosen by seed; None uses all.
        seed: decides that choice.
        progress: whether to show bars.

    Raises:
        ConfigError: both a source and a teacher, random negatives with a teacher, or BM25 without a ``top``.
        DataError: no query gives a list; a query without text.
    """
    if teacher is not None:
        refuse_two_sources("train", source, teacher)
        refuse_unscored(sampling)  # before a kept pool could hide it
    facts = facts_of(collection, teacher or source or "bm25", n_queries, seed)
    if sampling.in_batch:
        facts += ["in_batch", sampling.needs_candidates]
    if teacher is not None:
        facts += ["teacher", sampling.skip, sampling.top]
        limits: dict[str, Any] = {"most": sampling.docs_per_list}

        def build() -> Pool:
            return _teacher_pool(collection, teacher, sampling, n_queries, seed, progress)

    elif source == "docpairs" or (source is not None and triples_file(source) is not None):
        limits = {}
        if sampling.random:
            raise ConfigError(
                f"Sampling: a list of triples is one triple, so random must be 0, got {sampling.random}; for lists with "
                "random negatives give a run (ltr mine --output mined.trec)"
            )
        facts += ["judged"] if sampling.in_batch else []

        def build() -> Pool:
            query_ids = subset(list(collection.queries), n_queries, seed)
            refuse_empty(collection, query_ids)
            file = triples_file(source)
            triples = collection.docpairs() if file is None else read_triples(file, collection)
            return pairs_pool(collection.name, query_ids, triples, _known(collection) if sampling.in_batch else None)

    else:
        facts += [
            ANALYSIS,
            sampling.skip,
            sampling.top,
            sampling.min_grade,
            *([sampling.random_pool, seed] if sampling.random else []),
        ]
        limits = {"most": sampling.docs_per_list, "most_first": sampling.positives, "random": sampling.random}

        def build() -> Pool:
            return _judged_pool(collection, source or "bm25", sampling, n_queries, seed, progress)

    pool = kept_pool(facts, limits, build)
    said(shorter_lists(collection.name, pool))  # anew: a kept pool serves any length of lists
    return TrainPart(collection, pool)


def _teacher_pool(
    collection: Collection, teacher: str, sampling: Sampling, n_queries: int | None, seed: int, progress: bool
) -> Pool:
    run = candidates(collection, teacher, ALL, progress)
    query_ids = subset(list(run.query_ids), n_queries, seed)
    refuse_empty(collection, query_ids)
    pool = teacher_pool(collection.name, query_ids, run, sampling)
    unscored = [query_id for query_id in collection.queries if query_id not in run]
    if not unscored:
        return pool
    told = (
        f"{collection.name}: {len(unscored)} of {len(collection.queries)} queries have no scores in the teacher's run "
        f"{run.name} and are left out of training: {', '.join(unscored[:3])}{', …' if len(unscored) > 3 else ''}"
    )
    return replace(pool, notes=[*said([told]), *pool.notes])


def _spared(collection: Collection) -> dict[str, list[str]]:
    """Query id -> documents that are no negatives of it, whatever its own judgements say."""
    spared = {query_id: sorted(found) for query_id, found in relevant_to_others(collection).items()}
    for query_id in selves(collection):
        spared.setdefault(query_id, []).append(query_id)
    return spared


def _known(collection: Collection) -> dict[str, list[str]]:
    """Query id -> documents that are no negatives of it: of grade 1 and more, and ``_spared``."""
    if not collection.has_qrels:
        return {query_id: [query_id] for query_id in selves(collection)}
    known = _spared(collection)
    for query_id, judged in collection.qrels.items():
        known.setdefault(query_id, []).extend(doc_id for doc_id, grade in judged.items() if grade >= 1)
    return known


def _judged_pool(
    collection: Collection, source: str, sampling: Sampling, n_queries: int | None, seed: int, progress: bool
) -> Pool:
    judged, notes = judged_queries(collection)
    relevant = [q for q in judged if max(collection.qrels[q].values()) >= sampling.min_grade]
    chosen = set(subset(relevant, n_queries, seed))
    # queries without relevant documents stay in, so that they are counted, unless a number was asked for
    query_ids = [q for q in judged if q in chosen] if n_queries is not None else judged
    refuse_empty(collection, chosen)
    asked = [q for q in query_ids if q in chosen] if sampling.needs_candidates else []
    nothing = Run.from_dict({}, name=source)
    run = first_stage(collection, source, asked, sampling.top, progress) if asked else nothing
    drawn = random_subset(collection.doc_ids(), sampling.random_pool, seed) if sampling.random else []
    pool = judged_pool(collection.name, query_ids, collection.qrels, run, sampling, drawn, _spared(collection))
    return replace(pool, notes=[*notes, *pool.notes])
