"""Hard negatives from a run: documents that a retriever finds and that, as far as one can tell, are not relevant."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np

from ltr.data.candidates.repeated import relevant_to_others
from ltr.data.candidates.selves import selves
from ltr.data.collections.collection import Collection
from ltr.data.lists.sampling import keys_of, mixed
from ltr.data.wording import same_text
from ltr.errors import ConfigError, DataError
from ltr.io.runs import Run

#: documents whose texts are read at a time
TEXTS = 10_000
#: what a candidate falls to, in the order in which it is asked
FILTERS = (
    "judged relevant",
    "the query itself",
    "relevant to a repeated query",
    "text of a relevant one",
    "rank",
    "no teacher's score",
    "score",
    "margin",
)


@dataclass(frozen=True)
class Mining:
    """Which candidates count as negatives.

    Attributes:
        skip: the first so many ranks are left out, where unjudged relevant documents are likely.
        depth: ranks from which negatives come.
        max_score: what the teacher scores higher is left out.
        margin: a negative's teacher score must lie so far below that of the query's relevant documents (of the lowest
            of these that the teacher scored).
        relative_margin: the same as a share of the size of that score: .05 leaves out what scores more than 95 %.
        per_query: negatives of each query at most; None takes all.
        choose: which of more: ``random`` ones by seed, or the ``top`` of the run.
        min_grade: judged documents from this grade on are relevant; those from 1 on are never negatives.
        seed: decides what is chosen at random.

    Raises:
        ConfigError: settings that cannot be.
    """

    skip: int = 10
    depth: int = 100
    max_score: float | None = None
    margin: float | None = None
    relative_margin: float | None = None
    per_query: int | None = None
    choose: Literal["random", "top"] = "random"
    min_grade: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.skip < self.depth:
            raise ConfigError(f"mine: needs 0 <= skip < depth, got skip {self.skip} and depth {self.depth}")
        if self.per_query is not None and self.per_query < 1:
            raise ConfigError(f"mine: per_query must be at least 1, got {self.per_query}")
        if self.min_grade < 1:
            raise ConfigError(f"mine: min_grade must be at least 1, got {self.min_grade}")
        if self.seed < 0:
            raise ConfigError(f"mine: seed must not be negative, got {self.seed}")
        if self.max_score is not None and math.isnan(self.max_score):
            raise ConfigError(f"mine: max_score must be a number, got {self.max_score}")
        for name in ("margin", "relative_margin"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigError(f"mine: {name} must be at least 0, got {value}")

    @property
    def by_score(self) -> list[str]:
        """The settings that need a teacher."""
        return [name for name in ("max_score", "margin", "relative_margin") if getattr(self, name) is not None]


@dataclass(frozen=True, eq=False)
class Mined:
    """Negatives of queries, and what became of the other candidates.

    Attributes:
        run: the negatives with the run's scores; queries without any are left out.
        positives: query id -> ids of its relevant documents, of the queries of ``run``.
        fell: filter -> candidates that fell to it.
        candidates: candidates of the queries that have relevant documents.
        spared: negatives that were not chosen, because a query had enough.
        few: queries that got fewer than ``per_query``, but some.
        none: queries with relevant documents that got none.
        unasked: queries without relevant documents, which were not looked at.
        absent: queries with relevant documents that the run does not hold.
        untaught: queries of which the teacher scored no relevant document, although a margin asks for it.
        lost: relevant documents that the collection does not have; they are no positives.
    """

    run: Run
    positives: dict[str, list[str]]
    fell: dict[str, int]
    candidates: int
    spared: int
    few: list[str] = field(default_factory=list)
    none: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    untaught: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def triples(self) -> Iterable[tuple[str, str, str]]:
        """(query, relevant document, negative) ids: each relevant document with each negative."""
        for query_id in self.run:
            negatives = self.run[query_id][0].tolist()
            for positive in self.positives[query_id]:
                yield from ((query_id, positive, negative) for negative in negatives)


def mine(collection: Collection, run: Run, settings: Mining, teacher: Run | None = None) -> Mined:
    """Negatives of each judged query from a run.

    Documents of grade 1 and more are known by their ids, and by their texts: another document with the same words is no
    negative either. Nor is what is relevant to another query of the same text. What is chosen depends on seed, query and document alone: the same settings give the same bytes.

    Args:
        collection: queries, judgements and texts.
        run: where negatives come from; its order decides what ranks mean.
        settings: the filters.
        teacher: scores of candidates and of relevant documents, by which ``max_score`` and margins decide; a candidate
            without one falls.

    Raises:
        ConfigError: a filter by score without a teacher.
        DataError: no query gets a negative.
    """
    if settings.by_score and teacher is None:
        raise ConfigError(
            f"mine: {settings.by_score[0].replace('_', '-')} compares a teacher's scores, and none is named; give --teacher, a run with scores of "
            "candidates and relevant documents (ltr rerank --with-judged), or the run itself"
        )
    relevant = {
        query_id: [doc_id for doc_id, grade in judged.items() if grade >= settings.min_grade]
        for query_id, judged in collection.qrels.items()
        if query_id in collection.queries
    }
    lost = dict.fromkeys(collection.missing(dict.fromkeys(doc_id for found in relevant.values() for doc_id in found)))
    positives = {q: [doc_id for doc_id in found if doc_id not in lost] for q, found in relevant.items()}
    asked = [query_id for query_id, found in positives.items() if found]
    # of lower grades too: what has the words of a document that is no negative is none either
    judged = {q: [doc_id for doc_id, grade in collection.qrels[q].items() if grade >= 1] for q in asked}
    again = relevant_to_others(collection)
    judged = {q: [*found, *sorted(again.get(q, ()))] for q, found in judged.items()}
    texts, own = _Texts(collection, run, judged, settings), selves(collection)
    mined = Mined(run, {}, dict.fromkeys(FILTERS, 0), 0, 0, unasked=[q for q, found in positives.items() if not found])
    kept: dict[str, dict[str, float]] = {}
    candidates = spared = 0
    for query_id in asked:
        if query_id not in run:
            mined.absent.append(query_id)
            continue
        docs, scores = run[query_id]
        candidates += len(docs)
        taught = _taught(teacher, query_id)
        limit = _limit(settings, [taught[d] for d in positives[query_id] if d in taught])
        if limit is None:
            mined.untaught.append(query_id)
        itself = query_id if query_id in own else None
        reasons = _reasons(
            collection,
            query_id,
            docs.tolist(),
            settings,
            texts,
            taught if teacher else None,
            limit,
            itself,
            again.get(query_id, frozenset()),
        )
        for reason in reasons:
            if reason is not None:
                mined.fell[reason] += 1
        left = [i for i, reason in enumerate(reasons) if reason is None]
        chosen = _chosen(query_id, docs, left, settings)
        spared += len(left) - len(chosen)
        if not chosen:
            mined.none.append(query_id)
            continue
        if settings.per_query is not None and len(chosen) < settings.per_query:
            mined.few.append(query_id)
        kept[query_id] = {str(docs[i]): float(scores[i]) for i in chosen}
    if not kept:
        raise DataError(
            f"mine: none of {len(asked)} queries with relevant documents gets a negative from {run.name}; candidates fell "
            f"to: {told(mined.fell)}"
        )
    return Mined(
        Run.from_dict(kept, f"mined-{run.name}"),
        {query_id: positives[query_id] for query_id in kept},
        mined.fell,
        candidates,
        spared,
        mined.few,
        mined.none,
        mined.unasked,
        mined.absent,
        mined.untaught,
        list(lost),
    )


def told(fell: Mapping[str, int]) -> str:
    """How many candidates fell to each filter, in one line."""
    return ", ".join(f"{name} {count:,}" for name, count in fell.items() if count) or "nothing"


def _taught(teacher: Run | None, query_id: str) -> dict[str, float]:
    if teacher is None or query_id not in teacher:
        return {}
    docs, scores = teacher[query_id]
    return dict(zip(docs.tolist(), scores.tolist(), strict=True))


def _limit(settings: Mining, relevant: Sequence[float]) -> float | None:
    """The score that a negative must not exceed by its margins; None where the teacher scored nothing to compare with."""
    if settings.margin is None and settings.relative_margin is None:
        return float("inf")
    if not relevant:
        return None
    lowest = min(relevant)
    by = [settings.margin] if settings.margin is not None else []
    by += [settings.relative_margin * abs(lowest)] if settings.relative_margin is not None else []
    return lowest - max(by)


def _reasons(
    collection: Collection,
    query_id: str,
    docs: Sequence[str],
    settings: Mining,
    texts: _Texts,
    taught: Mapping[str, float] | None,
    limit: float | None,
    itself: str | None,
    again: frozenset[str],
) -> list[str | None]:
    """[candidates] the filter that each falls to, or None.

    ``itself``: the document that the query is; ``again``: what is relevant to other queries of its text.
    """
    judged = collection.qrels[query_id]
    known = texts.of_relevant(query_id)
    most = float("inf") if settings.max_score is None else settings.max_score

    def reason(rank: int, doc_id: str) -> str | None:
        if judged.get(doc_id, 0) >= 1:
            return "judged relevant"
        if doc_id == itself:
            return "the query itself"
        if doc_id in again:
            return "relevant to a repeated query"
        if not settings.skip < rank <= settings.depth:
            return "rank"
        if texts[doc_id] in known:
            return "text of a relevant one"
        if taught is None:
            return None
        score = taught.get(doc_id)
        if score is None or limit is None:
            return "no teacher's score"
        if score > most:
            return "score"
        return "margin" if score > limit else None

    return [reason(rank, doc_id) for rank, doc_id in enumerate(docs, 1)]


def _chosen(query_id: str, docs: np.ndarray, left: Sequence[int], settings: Mining) -> list[int]:
    """Up to ``per_query`` of the candidates that are left, in the run's order."""
    n = settings.per_query
    if n is None or len(left) <= n:
        return list(left)
    if settings.choose == "top":
        return list(left[:n])
    key = mixed(keys_of([query_id]) ^ mixed(np.array([settings.seed], np.uint64)))
    numbers = mixed(keys_of(docs[i] for i in left) ^ key)
    return sorted(left[i] for i in np.argsort(numbers, kind="stable")[:n].tolist())


class _Texts:
    """Digests of the words of documents: candidates in reach, and relevant ones."""

    def __init__(
        self, collection: Collection, run: Run, relevant: Mapping[str, Sequence[str]], settings: Mining
    ) -> None:
        self._relevant = relevant
        reach = slice(settings.skip, settings.depth)
        wanted = dict.fromkeys(doc_id for found in relevant.values() for doc_id in found)
        gone = set(collection.missing(wanted))  # judged, and not in the collection: nothing can be its duplicate
        ids = iter([doc_id for doc_id in wanted if doc_id not in gone])
        self._digests = self._read(collection, ids)
        more = dict.fromkeys(d for q in relevant if q in run for d in run[q][0][reach].tolist())
        self._digests |= self._read(collection, iter([d for d in more if d not in self._digests]))

    def __getitem__(self, doc_id: str) -> bytes:
        return self._digests[doc_id]

    def of_relevant(self, query_id: str) -> set[bytes]:
        """Of a query's relevant documents; texts without a word are nobody's duplicates."""
        found = {self._digests[d] for d in self._relevant[query_id] if d in self._digests}
        return found - {EMPTY}

    @staticmethod
    def _read(collection: Collection, ids: Iterable[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        while chunk := list(islice(ids, TEXTS)):
            found.update(zip(chunk, map(_digest, collection.texts(chunk)), strict=True))
        return found


def _digest(text: str) -> bytes:
    return hashlib.blake2b(same_text(text).encode("utf-8", "surrogatepass"), digest_size=12).digest()


EMPTY = _digest("")
