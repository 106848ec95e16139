"""TREC runs and judgements on disk, with errors that name file and line."""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from ltr.errors import DataError
from ltr.io.files import existing_file, replacing
from ltr.io.ids import LONGEST_ID, check_ids, check_judged, fault, shown
from ltr.io.run_lines import Columns, read_columns
from ltr.io.runs import Run

#: judgements: query id -> document id -> grade; a negative grade (spam, not assessable) counts as not judged
Qrels = dict[str, dict[str, int]]

#: grades beyond are no whole numbers any more where measures compute
LARGEST_GRADE = 2**53
#: ``int`` alone would take 1_0 and the digits of other scripts
WHOLE = re.compile(r"[+-]?[0-9]+")

#: what unpacking says of a file that is no gzip, or not all of one
BROKEN = (gzip.BadGzipFile, EOFError, zlib.error)

RUN_LINE = "a run line has 6 fields (query_id Q0 doc_id rank score tag)"
QRELS_LINE = "a judgement line has 4 fields (query_id 0 doc_id grade)"


def opened(path: str | os.PathLike, what: str = "input") -> IO[str]:
    """A text file, decompressed when its name ends in .gz; ``what`` it is stands in the error when it is missing.

    The mark that editors of Windows put before UTF-8 text is no part of it.
    """
    path = existing_file(path, what)
    return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else open(path, encoding="utf-8-sig")


def read_run(path: str | os.PathLike, name: str | None = None) -> Run:
    """Read ``query_id Q0 doc_id rank score tag`` lines (.gz too); ranks in the file are ignored, scores decide.

    Args:
        path: the file.
        name: the run's name in tables; the file's name without ``.trec``, ``run`` and ``.gz`` by default.

    Raises:
        DataError: naming file and line, for a line without six fields, a score that is no finite number, an id of more
            than 1024 bytes, or a document listed twice for a query; for an empty file.
    """
    path = existing_file(path, "run")
    name = stem(path) if name is None else name
    try:
        return _grouped(read_columns(path), name)
    except (ValueError, DataError, *BROKEN):  # unusual white space, or something is wrong: the slow reader knows where
        return _read_run_by_line(path, name)


def stem(path: str | os.PathLike) -> str:
    """A run file's name without what only says that it is one.

    >>> stem("runs/bm25.run.trec.gz"), stem("run.bm25.trec")
    ('bm25', 'bm25')
    """
    name = os.path.basename(path)
    for ending in (".gz", ".trec", ".txt", ".run"):
        name = name.removesuffix(ending)
    return name.removeprefix("run.") or "run"


def _grouped(columns: Columns, name: str) -> Run:
    """A run from columns in which a query's lines may stand in several stretches."""
    docs, scores, sizes = columns.docs, columns.scores, columns.sizes
    if not len(scores):
        raise DataError("empty")
    number: dict[bytes, int] = {}
    stretch = np.array([number.setdefault(query, len(number)) for query in columns.queries])
    if (np.diff(stretch) < 0).any():
        order = np.argsort(np.repeat(stretch, sizes), kind="stable")
        docs, scores = docs[order], scores[order]
    sizes = np.bincount(stretch, weights=sizes).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return Run([q.decode() for q in number], offsets, docs, scores, name, copy=False)


def _read_run_by_line(path: Path, name: str) -> Run:
    scores: dict[str, dict[str, float]] = {}
    for number, fields in _lines(path, "run", 6, RUN_LINE):
        score = _real(fields[4])
        if not math.isfinite(score):
            raise DataError(f"{path}:{number}: the score must be a finite number, got {shown(fields[4])}")
        docs = scores.setdefault(fields[0], {})
        if fields[2] in docs:
            raise DataError(f"{path}:{number}: document {fields[2]} is listed twice for query {fields[0]}")
        docs[fields[2]] = score
    return Run.from_dict(scores, name)


def _real(text: str) -> float:
    """A number in ASCII digits, nan for anything else; ``float`` alone would take 1_0 and the digits of other scripts."""
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan


def _lines(path: Path, what: str, n: int, form: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of each line that is not blank, or DataError."""
    number = 0
    empty = True
    with opened(path, what) as lines:
        try:
            for number, line in enumerate(lines, 1):
                fields = line.split()
                if fields and len(fields) != n:
                    hint = {4: "; 4 fields are judgements", 6: "; 6 fields are a run"}.get(len(fields), "")
                    raise DataError(f"{path}:{number}: {form}, got {len(fields)}: {line.strip()[:80]!r}{hint}")
                if fields:
                    empty = False
                    if "\0" in line or len(line) > LONGEST_ID // 4:  # a letter has at most four bytes
                        _check_fields(path, number, fields)
                    yield number, fields
        except (UnicodeDecodeError, *BROKEN) as error:
            raise DataError(f"{path}: after line {number}: not UTF-8 text, or not whole gzip: {error}") from error
    if empty:
        raise DataError(f"{path}: the file is empty; {form}")


def _check_fields(path: Path, number: int, fields: list[str]) -> None:
    for what, name in (("query", fields[0]), ("document", fields[2])):
        if wrong := fault(name):
            raise DataError(f"{path}:{number}: {what} id {shown(name)} {wrong}")


def write_run(path: str | os.PathLike, run: Run, tag: str | None = None) -> None:
    """Write a run in TREC form (beside, then renamed); read again it has the same order and the same float32 scores.

    Args:
        path: the file to write; compressed when its name ends in .gz.
        run: the run.
        tag: last field of each line, the run's name by default; blanks become ``_``.

    Raises:
        DataError: for an id with white space or of more than 1024 bytes, which no reader would take.
    """
    tag = "_".join((tag or run.name).split()) or "run"
    check_ids(run)
    with _writing(path) as file, np.errstate(over="ignore"):  # beyond float32 a score is written in full
        for query_id in run:
            docs, scores = run[query_id]
            short = (scores.astype(np.float32) == scores).tolist()
            file.writelines(
                f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n"
                if is_short
                else f"{query_id} Q0 {doc_id} {rank} {score!r} {tag}\n"
                for rank, (doc_id, score, is_short) in enumerate(zip(docs, scores.tolist(), short, strict=True), 1)
            )


@contextlib.contextmanager
def _writing(path: str | os.PathLike) -> Iterator[IO[str]]:
    """``replacing`` for text that is compressed when the name ends in .gz."""
    if not os.fspath(path).endswith(".gz"):
        with replacing(path) as file:
            yield file
        return
    with compressed(path) as packed, io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file:
        yield file


@contextlib.contextmanager
def compressed(path: str | os.PathLike) -> Iterator[gzip.GzipFile]:
    """``replacing`` for bytes to compress; neither name nor time go into the file: the same bytes give the same file."""
    with (
        replacing(path, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
    ):
        yield packed


def read_qrels(path: str | os.PathLike) -> Qrels:
    """Read ``query_id 0 doc_id grade`` lines (.gz too).

    Grades are whole numbers. Negative ones, TREC's mark for spam and pages that could not be assessed, are kept here
    and count as not judged when a run is measured.

    Raises:
        DataError: naming file and line, for a line without four fields, a grade that is no whole number or beyond
            2^53, or a document judged twice with different grades; for an empty file.
    """
    path = existing_file(path, "judgements")
    qrels: Qrels = {}
    for number, fields in _lines(path, "judgements", 4, QRELS_LINE):
        grade = int(fields[3]) if WHOLE.fullmatch(fields[3]) and len(fields[3]) < 40 else None
        if grade is None or abs(grade) > LARGEST_GRADE:
            raise DataError(f"{path}:{number}: the grade must be a whole number, got {shown(fields[3])}{_hint(fields)}")
        docs = qrels.setdefault(fields[0], {})
        if docs.setdefault(fields[2], grade) != grade:
            raise DataError(
                f"{path}:{number}: document {fields[2]} of query {fields[0]} is judged {grade} here and "
                f"{docs[fields[2]]} above"
            )
    return qrels


def _hint(fields: list[str]) -> str:
    """End of the message: what to do with real-valued labels; nothing where it is no real number either."""
    if WHOLE.fullmatch(fields[3]):
        return "; it can be 2^53 at most, to be told from its neighbours"
    real = math.isfinite(_real(fields[3]))
    line = f"{fields[0]} Q0 {fields[2]} 1 {fields[3]} labels"
    return (
        f"; real-valued labels stand in a run file, one line like {line!r} each, which ltr takes as a teacher "
        "(data.teacher, data.dev_teacher); then take this file out of the folder"
        if real
        else ""
    )


def write_qrels(path: str | os.PathLike, qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Write judgements in TREC form (beside, then renamed; compressed when the name ends in .gz).

    Raises:
        DataError: for an id with white space or of more than 1024 bytes, which no reader would take.
    """
    check_judged(qrels)
    with _writing(path) as file:
        for query_id, docs in qrels.items():
            file.writelines(f"{query_id} 0 {doc_id} {grade}\n" for doc_id, grade in docs.items())


def qrels_from(records: Iterable) -> Qrels:
    """Judgements from ir-datasets records (query_id, doc_id, relevance).

    Raises:
        DataError: for a grade that is no whole number.
    """
    qrels: Qrels = {}
    for record in records:
        if not float(record.relevance).is_integer():
            raise DataError(
                f"judgement of query {record.query_id}, document {record.doc_id}: the grade must be a whole number, got "
                f"{record.relevance!r}"
            )
        qrels.setdefault(record.query_id, {})[record.doc_id] = int(record.relevance)
    return qrels
