"""Lines of TREC runs taken apart many at a time, by NumPy on their bytes."""

from __future__ import annotations

import codecs
import os
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ltr.errors import DataError
from ltr.io.ids import LONGEST_ID
from ltr.io.parsing.decimals import MARGIN, read_decimals, words_of
from ltr.io.runs import THREADS
from ltr.io.sources import Source
from ltr.machine.cores import cores

#: bytes taken apart at a time: arrays stay in the processor's cache (4 MB: 1.3 x slower)
BLOCK = 2**20
#: bytes that a line may have
LONGEST = 2**20
FIELDS = 6
TAB, NEWLINE, RETURN, SPACE = 9, 10, 13, 32
#: keeps the first 0 to 8 bytes of a little-endian word
FIRST = np.array([256**n - 1 for n in range(9)], np.uint64)
#: white space that splits lines or fields in text, but not here
OTHER_SPACE = re.compile(r"[^\S \t\r\n]")
#: a comment in the first line of some text, or in another
COMMENT, COMMENTS = re.compile(rb"[ \t\r]*#[^\n]*"), re.compile(rb"\n[ \t\r]*#[^\n]*")
#: bytes that ids may take in all, if that is more than ``WASTE`` times their own: all take the room of the longest
HEAVY, WASTE = 2**28, 6


@dataclass(frozen=True, eq=False)
class Columns:
    """What a run's lines say, in the order of the file.

    Attributes:
        queries: query id of each stretch of lines with the same query; neighbours may be equal where blocks meet.
        sizes: [stretches] number of lines of each.
        docs: [lines] document ids, bytes of a width that is a multiple of 8.
        scores: [lines] finite or not.
        filled: bytes of all document ids together, without what fills them up.
    """

    queries: list[bytes]
    sizes: np.ndarray
    docs: np.ndarray
    scores: np.ndarray
    filled: int


def read_columns(path: str | os.PathLike | Source) -> Columns:
    """The columns of a run file (packed too): blocks of lines, taken apart by as many threads as there are processors.

    Raises:
        ValueError: for anything but lines of six fields whose fifth is a number, and for ids that would take too much
            memory; it is for a slower reader to say where.
    """
    source = Source.of(path, "run")
    queries: list[bytes] = []
    sizes = [np.zeros(0, np.int64)]
    docs, scores, at = np.empty(0, "S8"), np.empty(0), 0
    # room that is not written to costs nothing, while every new page does: one array of the whole size, 5 % to spare
    room = 1.05 * source.size / BLOCK
    filled = 0
    for part in _parsed(source):
        queries += part.queries
        sizes.append(part.sizes)
        n, width = len(part.scores), max(docs.itemsize, part.docs.itemsize)
        filled += part.filled
        refuse_heavy(at + n, filled, width, "")
        if at + n > len(scores) or width > docs.itemsize:
            size = max(at + n, 3 * at // 2, int(room * n))
            docs, scores = _moved(docs[:at], size, width), _moved(scores[:at], size, 8)
        docs[at : at + n], scores[at : at + n] = part.docs, part.scores
        at += n
    return Columns(queries, np.concatenate(sizes), docs[:at], scores[:at], filled)


def refuse_heavy(n: int, size: int, longest: int, where: str) -> None:
    """Raise DataError where one id would make ``n`` ids of ``size`` bytes together take many times the room.

    >>> refuse_heavy(1000, 20_000, 1000, "")
    """
    room = n * longest
    if room > HEAVY and room > WASTE * size:
        raise DataError(
            f"{where}a document id has {longest:,} bytes, and each of the {n:,} ids would take as much room: "
            f"{room / 1e9:.1f} GB where {max(size, 1) / 1e9:.2f} would do; shorten this id, here and wherever it stands"
        )


def _moved(old: np.ndarray, size: int, width: int) -> np.ndarray:
    """The same values at the beginning of a larger array."""
    new = np.empty(size, f"{old.dtype.kind}{width}")
    new[: len(old)] = old
    return new


def _parsed(source: Source) -> Iterator[Columns]:
    """The columns of each block, in order, a few blocks ahead."""
    n_threads = min(cores(), THREADS)
    waiting: deque[Future[Columns]] = deque()
    with ThreadPoolExecutor(n_threads, "ltr-run") as pool:
        for block, end in _blocks(source):
            waiting.append(pool.submit(parse_block, block, end))
            if len(waiting) > 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _blocks(source: Source) -> Iterator[tuple[bytearray, int]]:
    """(bytes, where they end) of whole lines, between margins."""
    with source.opened(buffering=0) as file:
        rest = (file.read(len(codecs.BOM_UTF8)) or b"").removeprefix(codecs.BOM_UTF8)
        while True:
            block = bytearray(MARGIN + len(rest) + BLOCK + MARGIN)
            block[:MARGIN] = b"x" * MARGIN  # no blanks before the first field
            block[MARGIN : MARGIN + len(rest)] = rest
            with memoryview(block) as view:
                n = file.readinto(view[MARGIN + len(rest) : -MARGIN])
            end = MARGIN + len(rest) + n
            if not n:
                if rest.strip():
                    block[end] = NEWLINE
                    yield block, end + 1
                return
            cut = block.rfind(b"\n", MARGIN, end) + 1
            rest = bytes(block[cut or MARGIN : end])
            if len(rest) > LONGEST:
                raise ValueError("a line without an end")
            if cut:
                yield block, cut


def parse_block(block: bytearray, end: int) -> Columns:
    """The columns of the lines at ``block[MARGIN:end]``, the last of which ends with a line end.

    Raises:
        ValueError: for anything but lines of six fields whose fifth is a number.
    """
    if block.find(b"#", MARGIN, end) >= 0:
        _blank_comments(block, end)
    if not block.isascii() and OTHER_SPACE.search(block[MARGIN:end].decode()):
        raise ValueError("white space beyond ASCII")
    text = np.frombuffer(block, np.uint8)
    (query, query_end), (doc, doc_end), (score, score_end) = _places(text, end)
    length = doc_end - doc
    if max((query_end - query).max(initial=0), length.max(initial=0)) > LONGEST_ID:
        raise ValueError("an id that every line would need the room of")
    words = words_of(text)
    names = _ids(words, query, query_end)
    changes = np.flatnonzero(np.logical_or.reduce([word[1:] != word[:-1] for word in names.T])) + 1
    begins = np.concatenate([[0], changes]) if len(query) else changes
    places = zip(query[begins].tolist(), query_end[begins].tolist(), strict=True)
    docs = _ids(words, doc, doc_end)
    return Columns(
        [bytes(block[a:b]) for a, b in places],
        np.diff(np.append(begins, len(query))),
        docs.reshape(-1).view(f"S{8 * docs.shape[1]}"),
        read_decimals(text, score, score_end),
        int(length.sum()),
    )


def _blank_comments(block: bytearray, end: int) -> None:
    """Write blanks over comments. Raises ValueError for one that has the fields of data, which is to be told."""
    first = COMMENT.match(block, MARGIN, end)
    for comment in (*([first] if first else []), *COMMENTS.finditer(block, MARGIN, end)):
        if len(comment[0].decode(errors="replace").split()) == FIELDS:
            raise ValueError("a comment that looks like data")
        begin = comment.start() + (comment is not first)
        block[begin : comment.end()] = b" " * (comment.end() - begin)


def _places(text: np.ndarray, end: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(starts, ends) of each line's query, document and score."""
    blank = np.flatnonzero(text[:end] <= SPACE)
    kinds = text[blank]
    if _regular(kinds, blank):
        grid = blank.reshape(-1, FIELDS)
        first = np.concatenate([[MARGIN], grid[:-1, -1] + 1])
        return [(first, grid[:, 0]), (grid[:, 1] + 1, grid[:, 2]), (grid[:, 3] + 1, grid[:, 4])]
    starts = np.concatenate([[MARGIN], blank[:-1] + 1])
    filled = starts < blank
    _refuse_irregular(text, blank, kinds, filled)
    starts, ends = starts[filled].reshape(-1, FIELDS), blank[filled].reshape(-1, FIELDS)
    return [(starts[:, i], ends[:, i]) for i in (0, 2, 4)]


def _regular(kinds: np.ndarray, blank: np.ndarray) -> bool:
    """Whether single blanks and line ends part the fields, as in nearly every file (the look-up is 1.5 x faster then)."""
    n_lines = len(kinds) // FIELDS
    return bool(
        len(kinds) == FIELDS * n_lines
        and (kinds[FIELDS - 1 :: FIELDS] == NEWLINE).all()
        and np.count_nonzero(kinds == SPACE) + np.count_nonzero(kinds == TAB) == (FIELDS - 1) * n_lines
        and blank[0] > MARGIN
        and (blank[1:] - blank[:-1]).min() > 1
    )


def _refuse_irregular(text: np.ndarray, blank: np.ndarray, kinds: np.ndarray, filled: np.ndarray) -> None:
    """Raise ValueError unless each line has six fields or none, parted by blanks of any number."""
    if not np.isin(kinds, (SPACE, TAB, NEWLINE, RETURN)).all():
        raise ValueError("control characters")
    if (text[blank[kinds == RETURN] + 1] != NEWLINE).any():
        raise ValueError("a return inside a line")  # which ends a line in text
    per_line = np.diff(np.cumsum(filled)[kinds == NEWLINE], prepend=0)
    if not np.isin(per_line, (0, FIELDS)).all():
        raise ValueError("lines without six fields")


def _ids(words: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """[ids, words] ids as words of eight bytes, filled up with 0."""
    length = ends - starts
    n_words = max(1, -(-int(length.max(initial=0)) // 8))
    ids = np.empty((len(starts), n_words), "<u8")
    for i in range(n_words):
        rest = np.minimum(np.maximum(length - 8 * i, 0), 8)
        # an id that has ended is not looked up: its place may lie behind the text
        ids[:, i] = words[np.where(rest > 0, starts + 8 * i, 0)] & FIRST[rest]
    return ids
