"""Runs and judgements as callers give them: what is accepted, what is refused, and ids that differ in form only."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from ltr.errors import DataError
from ltr.io.ids import shown
from ltr.io.runs import Run, with_text_ids
from ltr.io.trec import LARGEST_GRADE, Qrels
from ltr.metrics.measures.judged_ranks import JudgedRanks
from ltr.metrics.measures.measure import Measure

#: largest grade of measures whose gain is 2^grade - 1: at 1024 that is infinite
LARGEST_POWER = 1000
#: below this share of judged documents that a run holds, ids are looked at
FEW = 0.05
#: share of the queries from which on it is no chance that they find documents of their own ids
OWN = 0.2
#: queries whose documents are looked at then
LOOKED_AT = 20


def as_run(run: Run | Mapping[Any, Mapping[Any, float]]) -> Run:
    """A run, also from ``{query id: {document id: score}}``; ids that are whole numbers become text.

    Raises:
        DataError: for anything else, naming query and document where it can.
    """
    if isinstance(run, Run):
        return run
    return Run.from_dict(run)


def as_qrels(qrels: Mapping[Any, Mapping[Any, int]], chosen: list[Measure]) -> Qrels:
    """Judgements whose grades the measures can take; ids that are whole numbers become text.

    Raises:
        DataError: for anything but ``{query id: {document id: grade}}``, a grade that is no whole number, or one that a
            measure would make infinite or round.
    """
    judged = with_text_ids(qrels, "evaluate: judgements", "grade", "ltr.io.trec.read_qrels")
    if not judged:
        raise DataError("evaluate: there are no judgements; give at least one judged query")
    powers = [str(measure) for measure in chosen if measure.kind.gain == "2^grade - 1"]
    largest = LARGEST_POWER if powers else LARGEST_GRADE
    if not _within([grade for docs in judged.values() for grade in docs.values()], largest):
        for query_id, docs in judged.items():
            for doc_id, grade in docs.items():
                _check_grade(f"evaluate: query {query_id}, document {doc_id}", grade, largest, powers)
    return judged


def _within(grades: list[Any], largest: int) -> bool:
    """Whether all are whole numbers that a measure can take, told at once; False where only a closer look can tell."""
    try:
        x = np.asarray(grades)
    except ValueError:  # lists of several lengths
        return False
    whole = x.ndim == 1 and (x.dtype.kind in "iu" or (x.dtype.kind == "f" and bool((x == np.floor(x)).all())))
    return whole and bool(x.max(initial=0) <= largest and x.min(initial=0) >= -LARGEST_GRADE)


def _check_grade(where: str, grade: Any, largest: int, powers: list[str]) -> None:
    if not isinstance(grade, Integral) and not (isinstance(grade, Real) and float(grade).is_integer()):
        raise DataError(
            f"{where}: the grade must be a whole number, got {grade!r}; real-valued labels are measured by "
            "ltr.metrics.evaluate_labels"
        )
    if not -LARGEST_GRADE <= grade <= largest:  # type: ignore[operator]
        whose = f"{powers[0]} has the gain 2^grade - 1" if powers else "it is computed with as float64"
        raise DataError(f"{where}: a grade can be {largest} at most, as {whose}; got {shown(str(grade))}")


def differing(ours: Iterable[str], theirs: Iterable[str]) -> str | None:
    """Two ids, one of either side, that letter case, Unicode form or blanks keep apart, as a sentence; None without such.

    >>> differing(["D1", "D7"], ["d1", "d2"])
    "'D1' and 'd1' differ in letter case only"
    """
    known = {_plain(name): name for name in theirs}
    for name in ours:
        other = known.get(_plain(name), name)
        if other != name:
            if name.casefold() == other.casefold():
                what = "letter case"
            elif unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other):
                what = "Unicode form (NFC, NFD)"
            else:
                what = "blanks" if name.strip() == other.strip() else "letter case, Unicode form or blanks"
            return f"{name!a} and {other!a} differ in {what} only"
    return None


def _plain(name: str) -> str:
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).strip().casefold()


def strangers(run: Run, qrels: Qrels, lists: JudgedRanks, missing: list[str], unjudged: list[str]) -> list[str]:
    """A sentence each for queries and documents of a run and its judgements that hardly meet; nothing where they do.

    Args:
        run: the run.
        qrels: the judgements.
        lists: both together.
        missing: judged queries that the run does not hold.
        unjudged: queries of the run without judgements.
    """
    notes = []
    if missing and unjudged and (pair := differing(unjudged, missing)):
        notes.append(f"{len(missing)} judged queries are not in run {run.name}, where ids such as {pair}")
    some = [q for q in qrels if q in run and q not in qrels[q]]
    some = some[:: max(1, len(some) // LOOKED_AT)]
    own = [q for q in some if (run.doc_bytes[run.span(q)] == q.encode()).any()]
    if len(own) > max(1, OWN * len(some)):
        notes.append(
            f"{len(own)} of {len(some)} queries of run {run.name} find a document of their own id, such as {own[0]}: where these "
            "are the queries themselves (as in BEIR's ArguAna and Quora), published figures leave them out, as ltr retrieve does"
        )
    shared = lists.retrieved > 0
    of_shared = np.repeat(shared, np.diff(lists.offsets))
    judged, held = int(of_shared.sum()), int((lists.ranks >= 0).sum())
    if judged and held < FEW * judged:
        queries = [q for q, both in zip(qrels, shared.tolist(), strict=True) if both][:LOOKED_AT]
        documents = {q: run[q][0].tolist() for q in queries}
        pair = next((p for q in queries if (p := differing(documents[q], set(qrels[q]) - set(documents[q])))), None)
        count = f"run {run.name} holds {held or 'none'} of the {judged} judged documents"
        if pair:
            notes.append(f"{count}, and ids such as {pair}")
        elif not held:
            query = next(q for q in queries if qrels[q])
            ids = f"{documents[query][0]!r} in the run, {next(iter(qrels[query]))!r} in the judgements"
            notes.append(f"{count} (query {query}: {ids}), so look whether both name documents of one collection")
    return notes
