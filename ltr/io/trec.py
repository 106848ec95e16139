"""TREC runs and judgements on disk, with errors that name file and line."""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import IO

import numpy as np

from ltr.errors import DataError
from ltr.io.files import replacing
from ltr.io.ids import LONGEST_ID, check_ids, check_judged, fault, shown
from ltr.io.offsets import offsets_of
from ltr.io.parsing.run_lines import Columns, read_columns, refuse_heavy
from ltr.io.runs import Run, with_text_ids
from ltr.io.sources import BROKEN, Source

#: judgements: query id -> document id -> grade; a negative grade (spam, not assessable) counts as not judged
Qrels = dict[str, dict[str, int]]

#: grades beyond are no whole numbers any more where measures compute
LARGEST_GRADE = 2**53
#: characters of lines that are read at a time
BLOCK = 2**18
#: ``int`` alone would take 1_0 and the digits of other scripts
WHOLE = re.compile(r"[+-]?[0-9]+")
#: a whole number that was written as a real one
GRADE = re.compile(r"[+-]?[0-9]+(\.0*)?")
#: what parts words for C
C_SPACE = re.compile(r"[ \t\n\v\f\r]+")
#: how Python keeps bytes that are no UTF-8
NO_TEXT = re.compile("[\udc80-\udcff]")

RUN_LINE = "a run line has 6 fields (query_id Q0 doc_id rank score tag)"
QRELS_LINE = "a judgement line has 4 fields (query_id 0 doc_id grade)"

log = logging.getLogger("ltr")


@contextlib.contextmanager
def opened(path: str | os.PathLike | Source, what: str = "input") -> Iterator[IO[str]]:
    """A text file, unpacked where it is packed; ``what`` it is stands in the error when it is missing.

    The mark that editors of Windows put before UTF-8 text is no part of it.
    """
    with Source.of(path, what).text() as lines:
        yield lines


def read_run(path: str | os.PathLike | Source, name: str | None = None) -> Run:
    """Read ``query_id Q0 doc_id rank score tag`` lines (.gz, .bz2, .xz, .zst too); not ranks, but scores decide.

    As for trec_eval, a tag may have several words, and a line that begins with ``#`` is a comment. Pipes and ``-``,
    standard input, are read once.

    Args:
        path: the file.
        name: the run's name in tables; the file's name without ``.trec``, ``run`` and ``.gz`` by default.

    Raises:
        DataError: naming file and line, for a line without six fields, a score that is no finite number, an id of more
            than 1024 bytes, or a document listed twice for a query; for an id that would make all others take more
            memory than there should be; for an empty file.
    """
    source = Source.of(path, "run")
    name = stem(source.path) if name is None else name
    try:
        return _grouped(read_columns(source), name)
    except (ValueError, DataError, *BROKEN):  # unusual white space, or something is wrong: the slow reader knows where
        return _read_run_by_line(source, name)


def stem(path: str | os.PathLike) -> str:
    """A run file's name without what only says that it is one.

    >>> stem("runs/bm25.run.trec.gz"), stem("run.bm25.trec")
    ('bm25', 'bm25')
    """
    name = os.path.basename(path)
    for ending in (".gz", ".bz2", ".xz", ".zst", ".trec", ".txt", ".run"):
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
    offsets = offsets_of(sizes)
    return Run([q.decode() for q in number], offsets, docs, scores, name, copy=False)


def _read_run_by_line(source: Source, name: str) -> Run:
    scores: dict[str, dict[str, float]] = {}
    n, size, longest, where = 0, 0, 0, 0
    for number, fields in _lines(source, 6, RUN_LINE, _wrong_tag):
        score = _real(fields[4])
        if not math.isfinite(score):
            raise DataError(f"{source}:{number}: the score must be a finite number, got {shown(fields[4])}")
        docs = scores.setdefault(fields[0], {})
        if fields[2] in docs:
            raise DataError(f"{source}:{number}: document {fields[2]} is listed twice for query {fields[0]}")
        docs[fields[2]] = score
        length = len(fields[2]) if fields[2].isascii() else len(fields[2].encode())
        n, size = n + 1, size + length
        if length > longest:
            longest, where = length, number
    refuse_heavy(n, size, longest, f"{source}:{where}: ")
    return Run.from_dict(scores, name)


def _wrong_tag(fields: list[str]) -> str:
    """What speaks against more than six fields being a tag of several words; empty where nothing does.

    An id with a blank in it moves all that follows: what stands at the place of rank and score tells, or that a number
    stands at the tag's, which then is the score.
    """
    whole = WHOLE.fullmatch(fields[3]) and math.isfinite(_real(fields[4]))
    if whole and math.isnan(_real(fields[5])):
        return ""
    return "; a tag may have several words, an id must be one; here one seems to hold a blank"


def _real(text: str) -> float:
    """A number in ASCII digits, nan for anything else; ``float`` alone would take 1_0 and the digits of other scripts."""
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan


def _lines(
    source: Source, n: int, form: str, wrong: Callable[[list[str]], str] | None
) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of each line that is neither blank nor a comment, or DataError.

    Args:
        n: fields of a line.
        form: what a line is, for the error.
        wrong: what speaks against more fields than that; None where nothing may stand behind them.
    """
    before, doubtful, first = 0, 0, 0
    empty = True
    try:
        with source.text("surrogateescape") as lines:
            # looked over many at a time: most files hold nothing but ASCII in any line
            while block := lines.readlines(BLOCK):
                plain = _is_plain("".join(block))
                for number, line in enumerate(block, before + 1):
                    fields = line.split()
                    if len(fields) != n or fields[0][0] == "#" or not plain:
                        if not fields:
                            continue
                        if NO_TEXT.search(line):
                            raise DataError(
                                f"{source}:{number}: the text must be UTF-8, got {_shown_line(line)}; convert the file"
                            )
                        if fields[0][0] == "#":
                            doubtful += len(fields) == n
                            first = first or number * (len(fields) == n)
                            continue
                        _check_number(f"{source}:{number}", fields, n, form, wrong, line)
                        if not plain:
                            fields = _c_fields(line, n) or fields
                            _check_fields(source, number, fields)
                    empty = False
                    if len(line) > LONGEST_ID // 4:  # a letter has at most four bytes
                        _check_fields(source, number, fields)
                    yield number, fields
                before += len(block)
    except BROKEN as error:
        raise DataError(
            f"{source}: after line {_whole_lines(source)}: the packed file is not whole ({error}); fetch or pack it again"
        ) from error
    if empty:
        raise DataError(f"{source}: the file is empty; {form}")
    if doubtful:
        log.warning(
            "%s:%d: lines that begin with # are comments, as for trec_eval; %d of them have the %d fields of data",
            *(source, first, doubtful, n),
        )


def _check_number(
    where: str, fields: list[str], n: int, form: str, wrong: Callable[[list[str]], str] | None, line: str
) -> None:
    """Raise DataError for a number of fields that cannot be."""
    got = len(fields)
    hint = {4: "; 4 fields are judgements", 6: "; 6 fields are a run"}.get(got, "")
    if got == n:
        return
    if got > n and wrong is not None:
        # white space that trec_eval does not know would have it see other fields, were there more than needed
        hint = wrong(fields)
        if not hint and C_SPACE.split(line.strip())[:n] == fields[:n]:
            return
    raise DataError(f"{where}: {form}, got {got}: {_shown_line(line)}{hint}")


def _is_plain(text: str) -> bool:
    """Whether text holds neither NUL nor white space that trec_eval, or this reader, does not part fields at."""
    return text.isascii() and not any(odd in text for odd in "\0\x1c\x1d\x1e\x1f")


def _whole_lines(source: Source) -> int:
    """How many lines can be unpacked of a packed file that is not whole."""
    number = 0
    with contextlib.suppress(*BROKEN), source.text("surrogateescape") as lines:
        for number, _ in enumerate(lines, 1):  # noqa: B007
            pass
    return number


def _c_fields(line: str, n: int) -> list[str] | None:
    """A line's fields as trec_eval sees them, where there are enough: for it, only ASCII's white space parts any."""
    fields = C_SPACE.split(line.strip(" \t\n\v\f\r"))
    return fields if len(fields) >= n else None


def _shown_line(line: str) -> str:
    return repr(line.strip()[:80]).replace("\\udc", "\\x")  # bytes as they are


def _check_fields(source: Source, number: int, fields: list[str]) -> None:
    for what, name in (("query", fields[0]), ("document", fields[2])):
        if wrong := fault(name):
            raise DataError(f"{source}:{number}: {what} id {shown(name)} {wrong}")


def write_run(path: str | os.PathLike, run: Run, tag: str | None = None) -> None:
    """Write a run in TREC form (beside, then renamed); read again it has the same order and the same float32 scores.

    Args:
        path: the file to write; compressed when its name ends in .gz.
        run: the run.
        tag: last field of each line, the run's name by default; blanks become ``_``.

    Raises:
        DataError: for an id with white space or of more than 1024 bytes, which no reader would take.
    """
    if not isinstance(run, Run):
        raise DataError(f"write_run: a run is needed, got {type(run).__name__} {run!r:.60}; Run.from_dict makes one")
    lines = run_lines(run, tag or run.name)
    with plain_or_compressed(path) as file:
        file.writelines(lines)


def run_lines(run: Run, tag: str) -> Iterator[str]:
    """The lines of a run, as ``write_run`` writes them. Raises DataError for an id that no reader would take."""
    tag = "_".join(tag.split()) or "run"
    check_ids(run)
    return _run_lines(run, tag)


def _run_lines(run: Run, tag: str) -> Iterator[str]:
    for query_id in run:
        docs, scores = run[query_id]
        with np.errstate(over="ignore"):  # beyond float32 a score is written in full
            short = (scores.astype(np.float32) == scores).tolist()
        for rank, (doc_id, score, is_short) in enumerate(zip(docs, scores.tolist(), short, strict=True), 1):
            yield (
                f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n"
                if is_short
                else f"{query_id} Q0 {doc_id} {rank} {score!r} {tag}\n"
            )


@contextlib.contextmanager
def plain_or_compressed(path: str | os.PathLike) -> Iterator[IO[str]]:
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


def read_qrels(path: str | os.PathLike | Source) -> Qrels:
    """Read ``query_id 0 doc_id grade`` lines (.gz, .bz2, .xz, .zst too); lines that begin with ``#`` are comments.

    Grades are whole numbers, which may be written as ``1.0``. Negative ones, TREC's mark for spam and pages that could not be assessed, are kept here
    and count as not judged when a run is measured.

    Raises:
        DataError: naming file and line, for a line without four fields, a grade that is no whole number or beyond
            2^53, or a document judged twice with different grades; for an empty file.
    """
    source = Source.of(path, "judgements")
    qrels: Qrels = {}
    for number, fields in _lines(source, 4, QRELS_LINE, None):
        grade = _grade(fields[3])
        if grade is None:
            raise DataError(
                f"{source}:{number}: the grade must be a whole number, got {shown(fields[3])}{_hint(fields)}"
            )
        docs = qrels.setdefault(fields[0], {})
        if docs.setdefault(fields[2], grade) != grade:
            raise DataError(
                f"{source}:{number}: document {fields[2]} of query {fields[0]} is judged {grade} here and "
                f"{docs[fields[2]]} above"
            )
    return qrels


@lru_cache(1024)  # a file has few different grades, and looking at each anew took a tenth of its reading
def _grade(text: str) -> int | None:
    """The whole number that a text says, also as ``1.0``; None for another, and for one that is too large."""
    if len(text) >= 40 or not GRADE.fullmatch(text):
        return None
    grade = int(text.partition(".")[0])
    return grade if abs(grade) <= LARGEST_GRADE else None


def _hint(fields: list[str]) -> str:
    """End of the message: what to do with real-valued labels; nothing where it is no real number either."""
    if GRADE.fullmatch(fields[3]):
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
        DataError: for an id with white space or of more than 1024 bytes, or a grade that is no whole number, which no reader
            would take.
    """
    qrels = with_text_ids(qrels, "judgements", "grade", "ltr.io.trec.read_qrels")
    check_judged(qrels)
    with plain_or_compressed(path) as file:
        for query_id, docs in qrels.items():
            file.writelines(f"{query_id} 0 {doc_id} {int(grade)}\n" for doc_id, grade in docs.items())


def qrels_from(records: Iterable) -> Qrels:
    """Judgements from ir-datasets records (query_id, doc_id, relevance).

    Raises:
        DataError: for a grade that is no whole number, or a document judged twice with different grades, such as those of
            subtopics.
    """
    qrels: Qrels = {}
    for record in records:
        if not float(record.relevance).is_integer():
            raise DataError(
                f"judgement of query {record.query_id}, document {record.doc_id}: the grade must be a whole number, got "
                f"{record.relevance!r}"
            )
        grade = int(record.relevance)
        docs = qrels.setdefault(record.query_id, {})
        if docs.setdefault(record.doc_id, grade) != grade:
            raise DataError(
                f"judgements: document {record.doc_id} of query {record.query_id} is judged {docs[record.doc_id]} and then "
                f"{grade}; where these are of subtopics, make one grade of them and write it into a folder's qrels.trec"
            )
    return qrels
