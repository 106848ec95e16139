"""What a text data set consists of, built from names: lists to train on, and candidates to evaluate on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltr import __version__
from ltr.data.candidates.bm25_tokenizer import ANALYSIS
from ltr.data.candidates.selves import selves
from ltr.data.candidates.sources import candidates, retrieve
from ltr.data.collections.collection import Collection
from ltr.data.collections.ids import Ids
from ltr.data.lists.kept_pools import kept_run
from ltr.data.lists.pools import said
from ltr.data.lists.sampling import Drawn, Pool, subset
from ltr.errors import ConfigError, DataError
from ltr.io.caching.cached import cached
from ltr.io.caching.digests import digest
from ltr.io.caching.keys import key_of
from ltr.io.offsets import offsets_of
from ltr.io.trec import Qrels, Run, read_run, write_run

#: more than any run has
ALL = 10**9


@dataclass(frozen=True, eq=False)
class TrainPart:
    """Queries and documents that training lists are drawn from.

    Attributes:
        collection: where they come from.
        pool: what lists are drawn from.
    """

    collection: Collection
    pool: Pool

    @property
    def query_ids(self) -> Sequence[str]:
        """A query for each entry that lists are drawn from."""
        return self.pool.query_ids

    @property
    def doc_ids(self) -> Sequence[str]:
        """Document number -> id."""
        return self.pool.doc_ids


@dataclass(frozen=True, eq=False)
class EvalPart:
    """Documents to be scored, one list per query: first-stage candidates, or those that a teacher scored.

    Attributes:
        collection: where they come from.
        run: the candidates, or the teacher's documents and scores.
        qrels: judgements of all chosen queries, those without candidates too; None where a teacher's scores are the
            labels.
        doc_ids: document number -> id.
        lists: all lists, in the order of the run; labels are the judgements (0 where there is none) or the teacher's
            scores, in the unit that is learnt.
    """

    collection: Collection
    run: Run
    qrels: Qrels | None
    doc_ids: Sequence[str]
    lists: Drawn

    @property
    def query_ids(self) -> Sequence[str]:
        """A query for each list."""
        return self.run.query_ids

    @property
    def labels(self) -> np.ndarray:
        """[documents] float64 judgements or the teacher's scores, as they were read."""
        return (self.run.scores if self.qrels is None else self.lists.labels).astype(np.float64)


def eval_part(
    collection: Collection, source: str, top: int | None, n_queries: int | None, seed: int, progress: bool
) -> EvalPart:
    """Candidates of the judged queries of a collection.

    Args:
        collection: queries, judgements and documents.
        source: where candidates come from; see ``candidates``.
        top: so many of them per query; None takes all.
        n_queries: use so many of the judged queries, chosen by seed; None uses all.
        seed: decides that choice.
        progress: whether to show bars.

    Raises:
        DataError: no judged query has candidates; a query without text.
    """
    judged = subset(judged_queries(collection)[0], n_queries, seed)
    refuse_empty(collection, judged)
    qrels = {query_id: collection.qrels[query_id] for query_id in judged}

    def build() -> Run:
        run = of_queries(first_stage(collection, source, judged, top, progress), judged)
        if not len(run):
            raise DataError(f"{collection.name}: none of its {len(judged)} judged queries has candidates from {source}")
        return run

    run = kept_run([*facts_of(collection, source, n_queries, seed), ANALYSIS, top], build)
    owners = np.repeat(np.arange(len(run)), np.diff(run.offsets))
    labels = [
        max(0, qrels[run.query_ids[owner]].get(doc_id, 0))
        for owner, doc_id in zip(owners.tolist(), run.doc_ids.tolist(), strict=True)
    ]
    return _scored_part(collection, run, qrels, np.array(labels, np.float32))


def teacher_part(
    collection: Collection, teacher: str, top: int | None, n_queries: int | None, seed: int, progress: bool
) -> EvalPart:
    """The documents of a teacher's run, its scores their labels; the collection needs no judgements.

    Args:
        collection: queries and documents.
        teacher: a folder's run or a TREC run file; see ``candidates``.
        top: so many of the teacher's best documents per query; None takes all.
        n_queries: use so many of the teacher's queries, chosen by seed; None uses all.
        seed: decides that choice.
        progress: whether to show bars.

    Raises:
        DataError: the teacher has no query of the collection; a query without text.
    """

    def build() -> Run:
        run = candidates(collection, teacher, ALL if top is None else top, progress)
        query_ids = subset(list(run.query_ids), n_queries, seed)
        refuse_empty(collection, query_ids)
        return of_queries(run, query_ids)

    run = kept_run([*facts_of(collection, teacher, n_queries, seed), "teacher", top], build)
    return _scored_part(collection, run, None, run.scores.astype(np.float32))


def facts_of(collection: Collection, source: str, n_queries: int | None, seed: int) -> list[Any]:
    """What the choice of queries and the candidates depend on."""
    chosen = [n_queries, None if n_queries is None else seed]
    return [collection.name, collection.signature, source_signature(collection, source), *chosen]


def _scored_part(collection: Collection, run: Run, qrels: Qrels | None, labels: np.ndarray) -> EvalPart:
    doc_ids, numbers = np.unique(run.doc_bytes, return_inverse=True)
    lists = Drawn(np.arange(len(run)), run.offsets, numbers.astype(np.int32), labels)
    return EvalPart(collection, run, qrels, Ids(doc_ids), lists)


def check_counts(counts: Mapping[str, int | None], seed: int, workers: int) -> None:
    """Raise ConfigError for a count below 1 (None means all), or a negative seed or number of workers."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"TextData: {name} must be at least 1, got {count}")
    if seed < 0 or workers < 0:
        raise ConfigError(f"TextData: seed and workers must not be negative, got {seed} and {workers}")


def queries_by_id(collection: Collection) -> Callable[[Sequence[str]], list[str]]:
    """A function that looks queries up by their ids, and reads them when it is first called."""
    return lambda ids: [collection.queries[query_id] for query_id in ids]


def refuse_two_sources(name: str, source: str | None, teacher: str | None) -> None:
    """Raise ConfigError where both candidates and a teacher are named for a part (train, dev, test)."""
    if source is not None and teacher is not None:
        prefix = "" if name == "train" else f"{name}_"
        raise ConfigError(
            f"TextData: a teacher's run gives documents and labels, so {name}_candidates must be null beside it, got "
            f"{name}_candidates {source} and {prefix}teacher {teacher}; set data.{name}_candidates=null, or "
            f"data.{prefix}teacher=null"
        )


def judged_queries(collection: Collection) -> tuple[list[str], list[str]]:
    """The queries with judgements; judged ids that are no query of the collection are left out, with a warning.

    Returns:
        The queries, and what was said.
    """
    judged = [query_id for query_id in collection.qrels if query_id in collection.queries]
    gone = [query_id for query_id in collection.qrels if query_id not in collection.queries]
    if not gone:
        return judged, []
    some = ", ".join(gone[:3]) + (", …" if len(gone) > 3 else "")
    told = (
        f"{collection.name}: {len(gone)} of {len(collection.qrels)} judged queries are not among its queries and are "
        f"left out: {some}"
    )
    return judged, said([told])


def refuse_empty(collection: Collection, query_ids: Iterable[str]) -> None:
    """Raise DataError for a query without text: whatever is learnt or measured with it means nothing."""
    for query_id in query_ids:
        if not collection.queries[query_id].strip():
            raise DataError(
                f"{collection.name}: query {query_id} has no text; give it one or take its judgements out (ltr data check "
                f"--dataset {collection.name} lists all)"
            )


def of_queries(run: Run, query_ids: Sequence[str]) -> Run:
    """The part of a run that belongs to some queries, in their order; queries without documents are left out."""
    spans = {query_id: run.span(query_id) for query_id in query_ids if query_id in run}
    spans = {query_id: span for query_id, span in spans.items() if span.stop > span.start}
    docs, scores = ([values[span] for span in spans.values()] for values in (run.doc_bytes, run.scores))
    return Run(
        list(spans),
        offsets_of(np.array([len(part) for part in docs], np.int64)),
        np.concatenate([run.doc_bytes[:0], *docs]),
        np.concatenate([np.zeros(0), *scores]),
        run.name,
    )


def first_stage(
    collection: Collection, source: str, query_ids: Sequence[str], top: int | None, progress: bool = False
) -> Run:
    """The ``top`` candidates of some queries; what BM25 finds is kept in the user's cache.

    Raises:
        ConfigError: ``bm25`` without a ``top``.
    """
    if source != "bm25" or source in collection.runs:
        return candidates(collection, source, ALL if top is None else top, progress)
    if top is None:
        raise ConfigError("TextData: BM25 would rank the whole collection; give a number of candidates, got null")
    queries = {query_id: collection.queries[query_id] for query_id in query_ids}
    if not queries:
        return Run.from_dict({}, name="bm25")
    own = sorted(selves(collection, queries))
    key = key_of(
        json.dumps([__version__, ANALYSIS, collection.docs_signature, top, queries, *([own] if own else [])]), 20
    )

    def build(folder: Path) -> None:
        write_run(folder / "run.trec.gz", retrieve(collection, queries, top, progress=progress), tag="bm25")

    run = cached("runs", f"bm25-{key}", build, lambda folder: read_run(folder / "run.trec.gz"))
    return Run(run.query_ids, run.offsets, run.doc_ids, run.scores, "bm25")


def source_signature(collection: Collection, source: str | None) -> str | None:
    """What identifies a source of candidates: a run file's content, else its name."""
    path = None if source is None else collection.runs.get(source, Path(source))
    if path is None or not path.is_file():
        return source
    return digest(path, "sha256")


def described(
    name: str, collection: str, facts: dict[str, float], batches: int | None, max_length: int, max_query_length: int
) -> str:
    """A line about a part: what is in it, from the counts of ``TextData.counts``."""
    share = facts["truncated_queries"]
    queries = f", {100 * share:.1f} % of the queries cut to {max_query_length}" if share else ""
    epoch = "" if batches is None else f", {batches} batches an epoch"
    return (
        f"{name + ':':<6} {collection}: {facts['queries']:,} queries, {facts['lists']:,} lists of "
        f"{facts['docs_per_list']:.1f} documents{epoch}, {facts['tokens_per_doc']:.0f} tokens per document, "
        f"{100 * facts['truncated']:.1f} % of them cut to {max_length}{queries}"
    )
