"""TREC runs and judgements: columnar tables, read and written with errors that name file and line."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Iterable, Mapping
from typing import IO

from ltr.errors import DataError
from ltr.io.files import existing, replacing
from ltr.io.runs import Run

#: judgements: query id -> document id -> grade
Qrels = dict[str, dict[str, int]]


def opened(path: str | os.PathLike) -> IO[str]:
    """A text file, decompressed when its name ends in .gz."""
    path = existing(path, "input")
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")


def read_run(path: str | os.PathLike) -> Run:
    """Read ``query_id Q0 doc_id rank score tag`` lines (.gz too); ranks in the file are ignored, scores decide.

    Raises:
        DataError: naming file and line, for a line without six fields, a score that is no finite number, or a
            document listed twice for a query.
    """
    scores: dict[str, dict[str, float]] = {}
    with opened(path) as lines:
        for number, line in enumerate(lines, 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != 6:
                raise DataError(
                    f"{path}:{number}: a run line has 6 fields (query_id Q0 doc_id rank score tag), got {len(fields)}: {line.strip()[:80]!r}"
                )
            try:
                score = float(fields[4])
            except ValueError:
                score = math.nan
            if not math.isfinite(score):
                raise DataError(f"{path}:{number}: the score must be a finite number, got {fields[4]!r}")
            docs = scores.setdefault(fields[0], {})
            if fields[2] in docs:
                raise DataError(f"{path}:{number}: document {fields[2]} is listed twice for query {fields[0]}")
            docs[fields[2]] = score
    stem = os.path.basename(path).removesuffix(".gz").removesuffix(".trec").removesuffix(".run")
    return Run.from_dict(scores, name=stem)


def write_run(path: str | os.PathLike, run: Run, tag: str | None = None) -> None:
    """Write a run in TREC form (beside, then renamed); the tag defaults to the run's name."""
    tag = (tag or run.name).replace(" ", "_")
    with replacing(path) as file:
        for query_id in run:
            for rank, (doc_id, score) in enumerate(zip(*run[query_id], strict=True), 1):
                file.write(f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n")


def read_qrels(path: str | os.PathLike) -> Qrels:
    """Read ``query_id 0 doc_id grade`` lines (.gz too).

    Raises:
        DataError: naming file and line, for a line without four fields, a grade that is no whole number, or a
            document judged twice with different grades.
    """
    qrels: Qrels = {}
    with opened(path) as lines:
        for number, line in enumerate(lines, 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != 4:
                raise DataError(
                    f"{path}:{number}: a judgement line has 4 fields (query_id 0 doc_id grade), got {len(fields)}: {line.strip()[:80]!r}"
                )
            try:
                grade = int(fields[3])
            except ValueError:
                raise DataError(f"{path}:{number}: the grade must be a whole number, got {fields[3]!r}") from None
            docs = qrels.setdefault(fields[0], {})
            if docs.get(fields[2], grade) != grade:
                raise DataError(
                    f"{path}:{number}: document {fields[2]} of query {fields[0]} is judged {grade} here and {docs[fields[2]]} above"
                )
            docs[fields[2]] = grade
    return qrels


def write_qrels(path: str | os.PathLike, qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Write judgements in TREC form (beside, then renamed)."""
    with replacing(path) as file:
        for query_id, docs in qrels.items():
            file.writelines(f"{query_id} 0 {doc_id} {grade}\n" for doc_id, grade in docs.items())


def qrels_from(records: Iterable) -> Qrels:
    """Judgements from ir-datasets records (query_id, doc_id, relevance)."""
    qrels: Qrels = {}
    for record in records:
        qrels.setdefault(record.query_id, {})[record.doc_id] = int(record.relevance)
    return qrels
