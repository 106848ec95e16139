"""Pools of training lists from judgements and candidates, from training triples, or from a teacher's run."""

from __future__ import annotations

import heapq
import logging
from array import array
from collections.abc import Collection as Sized
from collections.abc import Iterable, Iterator

import numpy as np
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ltr.data.ragged import Ragged
from ltr.data.sampling import Pool, Sampling, keys_of, mixed
from ltr.errors import ConfigError, DataError
from ltr.io.trec import Qrels, Run

#: said by one process only
warn = rank_zero_only(logging.getLogger("ltr").warning)


class Numbers:
    """Document ids numbered in order of appearance."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}

    def __getitem__(self, doc_id: str) -> int:
        return self._number.setdefault(doc_id, len(self._number))

    def of(self, doc_ids: Iterable[str]) -> list[int]:
        """The number of each id."""
        return [self[doc_id] for doc_id in doc_ids]

    def ids(self) -> list[str]:
        """Number -> id."""
        return list(self._number)


def judged_pool(
    name: str, query_ids: Sized[str], qrels: Qrels, run: Run, sampling: Sampling, random_docs: Iterable[str] = ()
) -> Pool:
    """Relevant documents and candidates for negatives.

    Args:
        name: the data set, for messages.
        query_ids: queries to use; those without relevant documents or without negatives are left out, with a warning.
        qrels: judgements.
        run: candidates; their order decides what ``sampling.top`` and ``skip`` mean.
        sampling: how lists are made.
        random_docs: documents for random negatives.

    Raises:
        DataError: no query is left.
    """
    numbers, kept = Numbers(), []
    first: list[list[int]] = []
    rest: list[list[int]] = []
    relevant: list[list[int]] = []
    labels: list[int] = []
    without = {"relevant documents": 0, "negatives": 0}
    window = slice(sampling.skip, sampling.top)
    for query_id in query_ids:
        judged = qrels.get(query_id, {})
        positives = [doc_id for doc_id, grade in judged.items() if grade >= sampling.min_grade]
        if not positives:
            without["relevant documents"] += 1
            continue
        candidates = run[query_id][0][window].tolist() if query_id in run else []
        negatives = [doc_id for doc_id in candidates if judged.get(doc_id, 0) < 1]
        if not negatives and not sampling.random:
            without["negatives"] += 1
            continue
        kept.append(query_id)
        first.append(numbers.of(positives))
        labels += [judged[doc_id] for doc_id in positives]
        rest.append(numbers.of(negatives))
        relevant.append(numbers.of(doc_id for doc_id, grade in judged.items() if grade >= 1) if sampling.random else [])
    _report(name, len(query_ids), len(kept), without, sampling)
    random_numbers = np.array(numbers.of(random_docs), np.int32)
    ragged = Ragged.of(rest)
    return Pool(
        kept,
        numbers.ids(),
        first=Ragged.of(first),
        first_labels=np.array(labels, np.float32),
        rest=ragged,
        rest_labels=np.zeros(len(ragged.values), np.float32),
        relevant=Ragged.of(relevant),
        most=sampling.docs_per_list,
        most_first=sampling.positives,
        random=sampling.random,
        random_docs=random_numbers,
    )


def _report(name: str, total: int, kept: int, without: dict[str, int], sampling: Sampling) -> None:
    left_out = [f"{count} without {what}" for what, count in without.items() if count]
    advice = f"relevant means grade {sampling.min_grade} or above; negatives come from the candidates"
    if not kept:
        found = ", ".join(left_out) or "there are no queries"
        raise DataError(f"{name}: no query gives a training list: {found} ({advice})")
    if left_out:
        warn("%s: %d of %d queries are left out of training: %s", name, total - kept, total, ", ".join(left_out))


def pairs_pool(name: str, query_ids: Sized[str], pairs: Iterable[tuple[str, str, str]]) -> Pool:
    """Training triples (query, better document, worse document) as lists of two with labels 1 and 0.

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
        first=Ragged(np.array(better, np.int32), each),
        first_labels=np.ones(len(kept), np.float32),
        rest=Ragged(np.array(worse, np.int32), each),
        rest_labels=np.zeros(len(kept), np.float32),
        relevant=none,
    )


def teacher_pool(name: str, query_ids: Iterable[str], run: Run, sampling: Sampling) -> Pool:
    """Documents of a teacher's run with the teacher's scores as labels.

    Raises:
        ConfigError: random negatives are asked for, which no teacher has scored.
        DataError: no query has two documents in the run.
    """
    if sampling.random:
        raise ConfigError(
            f"Sampling: a teacher scores no random documents, so random must be 0 with a teacher, got {sampling.random}"
        )
    numbers, kept, few = Numbers(), [], 0
    docs: list[list[int]] = []
    labels: list[np.ndarray] = []
    window = slice(sampling.skip, sampling.top)
    for query_id in query_ids:
        if query_id not in run:
            continue
        doc_ids, scores = run[query_id]
        if len(doc_ids[window]) < 2:
            few += 1
            continue
        kept.append(query_id)
        docs.append(numbers.of(doc_ids[window].tolist()))
        labels.append(scores[window])
    if not kept:
        raise DataError(f"{name}: no query has two documents or more in the teacher's run {run.name}")
    if few:
        warn("%s: %d queries have fewer than two documents in the teacher's run and are left out", name, few)
    none = Ragged(np.zeros(0, np.int32), np.zeros(len(kept) + 1, np.int64))
    return Pool(
        kept,
        numbers.ids(),
        first=none,
        first_labels=np.zeros(0, np.float32),
        rest=Ragged.of(docs),
        rest_labels=np.concatenate(labels).astype(np.float32),
        relevant=none,
        most=sampling.docs_per_list,
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
