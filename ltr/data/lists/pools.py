"""Pools of training lists from judgements and candidates, from training triples, or from a teacher's run."""

from __future__ import annotations

import heapq
import logging
from array import array
from collections.abc import Collection as Sized
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np

from ltr.data.collections.ids import Ids, distinct
from ltr.data.lists.ragged import Ragged
from ltr.data.lists.sampling import Pool, Sampling, keys_of, mixed
from ltr.errors import ConfigError, DataError
from ltr.io.offsets import offsets_of
from ltr.io.runs import as_bytes
from ltr.io.trec import Qrels, Run


class Numbers:
    """Document ids numbered in order of appearance."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}

    def __getitem__(self, doc_id: str) -> int:
        return self._number.setdefault(doc_id, len(self._number))

    def known(self, doc_ids: Iterable[str]) -> list[int]:
        """The numbers of those that have one."""
        return [self._number[doc_id] for doc_id in doc_ids if doc_id in self._number]

    def ids(self) -> list[str]:
        """Number -> id."""
        return list(self._number)


class Pieces:
    """Documents of queries, as bytes from the run: numbered in order of appearance when all are known.

    A dict of the documents of MS MARCO would take 1.3 GB; this takes 0.3 while it numbers, and 0.1 when it is done.

    Args:
        kinds: how many groups of documents a query has.
    """

    def __init__(self, kinds: int):
        self._kinds = kinds
        self._pieces: list[np.ndarray] = []

    def add(self, *groups: np.ndarray) -> None:
        """The groups of the next query, in the order in which they are numbered."""
        self._pieces += groups

    def numbered(self, more: Iterable[str] = ()) -> tuple[list[Ragged], np.ndarray, Ids]:
        """The groups of all queries, the numbers of ``more``, and number -> id."""
        lengths = np.fromiter(map(len, self._pieces), np.int64, len(self._pieces))
        whole = as_bytes(np.concatenate([*self._pieces, as_bytes(list(more))]))
        first, numbers = distinct(whole)
        offsets = offsets_of(lengths)
        flat = Ragged(numbers[: offsets[-1]], offsets)
        groups = [flat.take(np.arange(kind, len(lengths), self._kinds)) for kind in range(self._kinds)]
        return groups, numbers[offsets[-1] :], Ids(whole[first])


def judged_pool(
    name: str,
    query_ids: Sized[str],
    qrels: Qrels,
    run: Run,
    sampling: Sampling,
    random_docs: Iterable[str] = (),
    spared: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> Pool:
    """Relevant documents and candidates for negatives.

    Args:
        name: the data set, for messages.
        query_ids: queries to use; those without relevant documents or without negatives are left out, with a warning.
        qrels: judgements.
        run: candidates; their order decides what ``sampling.top`` and ``skip`` mean.
        sampling: how lists are made.
        random_docs: documents for random negatives.
        spared: query id -> documents that are no negatives of it beside those judged: itself, where it is a document, or what is
            relevant to the same question under another id.

    Raises:
        DataError: no query is left.
    """
    kept, pieces = [], Pieces(3)
    labels: list[int] = []
    without = {"relevant documents": 0, "negatives": 0}
    window = slice(sampling.skip, sampling.top)
    for query_id in query_ids:
        judged = qrels.get(query_id, {})
        positives = [doc_id for doc_id, grade in judged.items() if grade >= sampling.min_grade]
        if not positives:
            without["relevant documents"] += 1
            continue
        no_negatives = [doc_id for doc_id, grade in judged.items() if grade >= 1]
        no_negatives += [doc_id for doc_id in spared.get(query_id, ()) if doc_id not in judged or judged[doc_id] < 1]
        known = {doc_id.encode() for doc_id in no_negatives}
        negatives = _without(known, run.doc_bytes[run.span(query_id)][window] if query_id in run else run.doc_bytes[:0])
        if not len(negatives) and not sampling.random and not sampling.in_batch:
            without["negatives"] += 1
            continue
        kept.append(query_id)
        labels += [judged[doc_id] for doc_id in positives]
        all_known = sampling.random or sampling.in_batch
        relevant = no_negatives if all_known else []
        pieces.add(as_bytes(positives), negatives, as_bytes(relevant))
    notes = _report(name, len(query_ids), len(kept), without, sampling)
    (first, rest, relevant_docs), random_numbers, doc_ids = pieces.numbered(random_docs)
    return Pool(
        kept,
        doc_ids,
        first=first,
        first_labels=np.array(labels, np.float32),
        rest=rest,
        rest_labels=np.zeros(len(rest.values), np.float32),
        relevant=relevant_docs,
        most=sampling.docs_per_list,
        most_first=sampling.positives,
        random=sampling.random,
        random_docs=random_numbers,
        notes=notes,
    )


def _without(known: set[bytes], docs: np.ndarray) -> np.ndarray:
    """The documents that are not known."""
    there = [doc_id in known for doc_id in docs.tolist()]
    return docs[~np.array(there, bool)] if any(there) else docs


def _report(name: str, total: int, kept: int, without: dict[str, int], sampling: Sampling) -> list[str]:
    """Says what was left out, and returns what it said."""
    notes: list[str] = []
    left_out = [f"{count} without {what}" for what, count in without.items() if count]
    advice = f"relevant means grade {sampling.min_grade} or above; negatives come from the candidates"
    if not kept:
        reasons = ", ".join(left_out) or "there are no queries"
        raise DataError(f"{name}: no query gives a training list: {reasons} ({advice})")
    if left_out:
        notes.append(f"{name}: {total - kept} of {total} queries are left out of training: {', '.join(left_out)}")
    return said(notes)


def shorter_lists(name: str, pool: Pool) -> list[str]:
    """What is to be said of lists that documents do not suffice for: how many, and what is done; nothing where all are full.

    Args:
        name: the data set.
        pool: what lists are drawn from; random negatives fill every list.
    """
    if pool.most is None or pool.random:
        return []
    first, rest = np.diff(pool.first.offsets), np.diff(pool.rest.offsets)
    held = (first if pool.most_first is None else first.clip(max=pool.most_first)) + rest
    short = int((held < pool.most).sum())
    if not short:
        return []
    return [
        f"{name}: {short} of {len(pool)} training lists hold fewer than docs_per_list {pool.most} documents (the shortest "
        f"{held.min()}), since there are no more candidates: they are trained on as they are"
    ]


def said(notes: list[str]) -> list[str]:
    """Warn of each note, in one process of a training only."""
    if not notes:
        return notes
    # imported here: processes that load batches need nothing else of Lightning, whose import takes seconds
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    warn = rank_zero_only(logging.getLogger("ltr").warning)
    for note in notes:
        warn("%s", note)
    return notes


def pairs_pool(
    name: str,
    query_ids: Sized[str],
    pairs: Iterable[tuple[str, str, str]],
    relevant: Mapping[str, Iterable[str]] | None = None,
) -> Pool:
    """Training triples (query, better document, worse document) as lists of two with labels 1 and 0.

    Args:
        name: the data set, for messages.
        query_ids: queries to use.
        pairs: the triples.
        relevant: query id -> documents that are relevant to it, where documents of other lists are its negatives: none of
            these is, and none of its better documents in other triples; None where lists stand alone.

    Raises:
        DataError: no triple of the queries, or a triple with the same document twice.
    """
    numbers, kept = Numbers(), []
    better, worse = array("i"), array("i")  # there may be tens of millions
    known = frozenset(query_ids)
    for query_id, good, bad in pairs:
        if query_id not in known:
            continue
        if good == bad:
            raise DataError(f"{name}: a training triple of query {query_id} has document {good} twice")
        kept.append(query_id)
        better.append(numbers[good])
        worse.append(numbers[bad])
    if not kept:
        raise DataError(f"{name}: no training triple belongs to one of its {len(known)} queries")
    each = np.arange(len(kept) + 1, dtype=np.int64)
    none = Ragged(np.zeros(0, np.int32), np.zeros(len(kept) + 1, np.int64))
    return Pool(
        kept,
        numbers.ids(),
        relevant=none if relevant is None else _by_query(kept, np.array(better, np.int32), relevant, numbers),
        first=Ragged(np.array(better, np.int32), each),
        first_labels=np.ones(len(kept), np.float32),
        rest=Ragged(np.array(worse, np.int32), each),
        rest_labels=np.zeros(len(kept), np.float32),
    )


def _by_query(queries: list[str], docs: np.ndarray, more: Mapping[str, Iterable[str]], numbers: Numbers) -> Ragged:
    """For each entry all documents of its query and those that ``more`` names of it, each once."""
    places: dict[str, int] = {}
    owners = np.array([places.setdefault(query_id, len(places)) for query_id in queries])
    others = [(place, number) for query_id, place in places.items() for number in numbers.known(more.get(query_id, ()))]
    pairs = np.concatenate([np.stack([owners, docs], 1), np.array(others, np.int64).reshape(-1, 2)])
    pairs = np.unique(pairs, axis=0)
    grouped = Ragged(pairs[:, 1].astype(np.int32), offsets_of(np.bincount(pairs[:, 0], minlength=len(places))))
    return grouped.take(owners)


def teacher_pool(name: str, query_ids: Iterable[str], run: Run, sampling: Sampling) -> Pool:
    """Documents of a teacher's run with the teacher's scores as labels.

    Raises:
        ConfigError: random negatives are asked for, which no teacher has scored.
        DataError: no query has two documents in the run, or no list two different scores.
    """
    refuse_unscored(sampling)
    kept, few, pieces = [], 0, Pieces(1)
    labels: list[np.ndarray] = []
    window, scores, beyond = slice(sampling.skip, sampling.top), 0, 0
    for query_id in query_ids:
        if query_id not in run:
            continue
        span = run.span(query_id)
        docs = run.doc_bytes[span][window]
        scores += span.stop - span.start
        beyond += span.stop - span.start - len(docs)
        if len(docs) < 2:
            few += 1
            continue
        kept.append(query_id)
        pieces.add(docs)
        labels.append(run.scores[span][window])
    if not kept:
        raise DataError(f"{name}: no query has two documents or more in the teacher's run {run.name}")
    told = f"{name}: {few} queries have fewer than two documents in the teacher's run and are left out"
    cut = (
        f"{name}: sampling.skip {sampling.skip} and top {sampling.top} leave out {beyond:,} of the {scores:,} scores of the "
        "teacher's run; top null takes all"
    )
    same = sum(bool((own == own[0]).all()) for own in labels)
    if same == len(kept):
        raise DataError(
            f"{name}: in each of its {same} lists the teacher's run {run.name} has one score for all documents, so there is "
            "nothing to learn; look at the column of the scores"
        )
    flat = (
        f"{name}: {same} of {len(kept)} training lists ({same / len(kept):.0%}) have one teacher's score for all documents: "
        "losses of pairs and lists learn nothing from these"
    )
    notes = said([*([told] if few else []), *([cut] if beyond else []), *([flat] if same else [])])
    none = Ragged(np.zeros(0, np.int32), np.zeros(len(kept) + 1, np.int64))
    (rest,), _, doc_ids = pieces.numbered()
    return Pool(
        kept,
        doc_ids,
        first=none,
        first_labels=np.zeros(0, np.float32),
        rest=rest,
        rest_labels=np.concatenate(labels).astype(np.float32),
        relevant=none,
        most=sampling.docs_per_list,
        notes=notes,
    )


def refuse_unscored(sampling: Sampling) -> None:
    """Raise ConfigError where a teacher's lists should have negatives that no teacher has scored."""
    if sampling.in_batch:
        raise ConfigError(
            "Sampling: a teacher scores the documents of a list for its query alone, not those of other lists, so in_batch "
            "must be false with a teacher"
        )
    if sampling.random:
        raise ConfigError(
            f"Sampling: a teacher scores no random documents, so random must be 0 with a teacher, got {sampling.random}"
        )


def random_subset(doc_ids: Iterator[str], n: int, seed: int, block: int = 100_000) -> list[str]:
    """``n`` of the documents, chosen at random by seed and id, without ever holding all ids."""
    best: list[tuple[int, str]] = []
    ids: list[str] = []
    salt = mixed(np.array([seed], np.uint64))

    def merge() -> None:
        nonlocal best
        best = heapq.nsmallest(n, [*best, *zip(mixed(keys_of(ids) ^ salt).tolist(), ids, strict=True)])
        ids.clear()

    for doc_id in doc_ids:
        ids.append(doc_id)
        if len(ids) >= block:
            merge()
    merge()
    return sorted(doc_id for _, doc_id in best)
