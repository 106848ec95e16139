"""SVMlight/LETOR files: ``2 qid:17 1:0.5 2:3 46:0.1 # comment``, read fast and once."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ltr.data.features.rounding import coarse, coarse_note
from ltr.data.features.table import FeatureTable
from ltr.errors import ConfigError, DataError
from ltr.io.caching.cached import cached
from ltr.io.caching.keys import key_of_facts
from ltr.io.files import replacing
from ltr.io.ids import doubtful, fault, query_fault, shown
from ltr.io.offsets import offsets_of
from ltr.io.parsing.run_lines import refuse_heavy
from ltr.io.runs import as_bytes, duplicate
from ltr.io.sources import BROKEN, Source

#: part of the cache's key: a change of what is stored gives new folders
FORMAT = 5
#: bytes that are read and parsed at a time
BLOCK = 2**25
#: largest feature index without a declared number: features are kept as a full matrix
MOST = 1_000_000
LARGEST = float(np.finfo(np.float32).max)
#: bytes of a matrix, and how many times more numbers than the file holds, from which on an index must be a mistake
HEAVY, SPARSE = 2**28, 50

LINE = "a line reads LABEL qid:LIST 1:VALUE 2:VALUE ... # comment"
#: up to the next blank or comment, however long
WORD = re.compile(rb"[^\s#]*")
DOC_ID = re.compile(rb"\bdocid\s*=\s*(\S+)")

log = logging.getLogger(__name__)


def read_svmlight(path: str | os.PathLike | Source, n_features: int | None = None) -> FeatureTable:
    """The lists of an SVMlight file (.gz, .bz2, .xz, .zst too), as MSLR-WEB, Yahoo, Istella and LETOR 4 are given out.

    A feature that a line leaves out is 0. Values are those of Python's ``float``, kept as float32; for numbers beyond
    its range (Istella writes 1.79769313486232E308 for "no value") the largest float32 stands, and a warning counts them. A document's id is
    what its comment gives as ``docid = ID``, or, where no line does, the comment's first word if these are distinct in every
    list, else ``LIST-CODE-LINE``. The file is parsed once; then its arrays are mapped from the user's cache, under a key of its
    content. Pipes and ``-``, standard input, are read once.

    Args:
        path: the file.
        n_features: how many there are; default: the largest index in the file.

    Raises:
        DataError: naming file, line and value, for a label or value that is no finite number, a line without ``qid:``,
            feature indices that do not rise, are below 1 or beyond ``n_features``, a list in two blocks, a ``docid``
            twice in a list, an id that is no UTF-8; for an index that would make the matrix many times larger than what
            the file holds; for an empty file.
        ConfigError: ``n_features`` below 1.
    """
    if n_features is not None and n_features < 1:
        raise ConfigError(f"n_features must be at least 1, got {n_features}")
    source = Source.of(path, "features")
    before, digest = source.state, source.digest()
    key = key_of_facts([FORMAT, digest, n_features], 20)

    def build(empty: Path) -> None:
        _Reader(source, n_features, None if source.packed else digest).write(empty)
        if source.state != before:
            raise DataError(f"{source}: the file changed while it was read; read it again when it is complete")

    about, arrays = cached("svmlight", key, build, _mapped)
    if about["clipped"]:
        log.warning("%s: %d values beyond float32 are kept as %g", source, about["clipped"], LARGEST)
    for index in about["coarse"]:
        log.warning("%s: %s", source, coarse_note(str(index)))
    if about["foreign"]:
        log.warning(
            "%s:%d: the comment is no UTF-8, so documents have the ids LIST-CODE-LINE; convert the file if comments name them",
            source, about["foreign"],
        )  # fmt: skip
    if about["nameless"]:
        log.warning(
            "%s:%d: this line names no document with docid =, as others do, so documents have the ids LIST-CODE-LINE",
            source, about["nameless"],
        )  # fmt: skip
    queries = [query_id.decode() for query_id in arrays.pop("query_ids").tolist()]
    return FeatureTable(source=str(source), query_ids=queries, digest=about["digest"], **arrays)


def _mapped(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts and arrays of a parsed file; mapped, not read: processes that train on the same file share its pages."""
    about = json.loads((folder / "facts.json").read_text())
    names = {file.stem for file in folder.glob("*.npy")} | {"features", "labels", "lines", "offsets", "query_ids"}
    return about, {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in sorted(names)}


@dataclass
class _Reader:
    """Parses one file, block by block."""

    source: Source
    n_features: int | None
    #: digest of the unpacked content, where it is known
    known: str | None
    #: lines before the current block
    done: int = 0
    clipped: int = 0
    #: indices of features that float32 rounds coarsely, from the first block; None before it
    coarse: list[int] | None = None
    #: line of the first comment whose word would name its document, were it UTF-8
    foreign: int = 0
    #: line of the first document without ``docid =``
    nameless: int = 0
    digest: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=8))
    features: list[np.ndarray] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)
    lines: list[np.ndarray] = field(default_factory=list)
    #: query id of each list, and the number of the row that begins it
    query_ids: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    #: per document what ``docid =`` gives or the comment's first word; empty where a line has neither
    doc_ids: list[bytes] = field(default_factory=list)
    #: documents with ``docid =``
    n_given: int = 0
    #: documents and values up to now; the largest index and its line
    n_docs: int = 0
    n_values: int = 0
    widest: tuple[int, int] = (0, 0)

    def write(self, folder: Path) -> None:
        """Parse the file and write its arrays."""
        for block in self._blocks():
            self._parse(block)
        if not self.lines:
            raise DataError(f"{self.source}: the file holds no document; {LINE}")
        n_docs = sum(map(len, self.lines))
        lines = np.concatenate(self.lines)
        offsets = offsets_of(np.diff([*self.starts, n_docs]))
        self._refuse_split(lines)
        arrays = {
            "labels": np.concatenate(self.labels),
            "lines": lines,
            "offsets": offsets,
            "query_ids": as_bytes(np.array(self.query_ids)),
        }
        named = self._named(offsets, lines)
        if named is not None:
            arrays["named"] = named
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        self._write_features(folder / "features.npy", n_docs)
        with replacing(folder / "facts.json") as file:
            nameless = self.nameless if self.n_given else 0
            facts = {
                "clipped": self.clipped,
                "coarse": self.coarse or [],
                "foreign": self.foreign,
                "nameless": nameless,
                "source": str(self.source),
            }
            json.dump({"digest": self.known or self.digest.hexdigest(), **facts}, file)

    def _write_features(self, path: Path, n_docs: int) -> None:
        """One matrix of blocks that may know fewer columns; a block's memory is free once it is written."""
        width = self.n_features or max(block.shape[1] for block in self.features)
        if not width:
            raise DataError(f"{self.source}: no line holds a feature; {LINE}")
        whole = np.lib.format.open_memmap(path, "w+", np.float32, (n_docs, width))
        at = 0
        while self.features:
            block = self.features.pop(0)
            whole[at : at + len(block), : block.shape[1]] = block
            at += len(block)
        whole.flush()

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines of the file, about ``BLOCK`` bytes at a time."""
        rest, mark = b"", codecs.BOM_UTF8
        with self._opened() as file:
            while piece := file.read(BLOCK):
                if self.known is None:
                    self.digest.update(piece)
                piece = rest + piece.removeprefix(mark)
                mark = b""
                cut = piece.rfind(b"\n") + 1
                rest = piece[cut:]
                if cut:
                    yield piece[:cut]
        if rest:
            yield rest

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with self.source.opened() as file:
                yield file
        except BROKEN as error:
            raise DataError(
                f"{self.source}: the packed file is not whole after line {self.done} ({error}); fetch or pack it again"
            ) from error

    def _parse(self, block: bytes) -> None:
        from ltr.data.features import svmlight_kernel as kernel

        text = np.frombuffer(block, np.uint8)
        n_lines, n_values = (
            int(np.count_nonzero(text == 10)) + 1,
            int(np.count_nonzero(text == 58)),
        )  # line ends, colons
        rows, row_ends, labels = np.empty((n_lines, 6), np.int64), np.empty(n_lines, np.int64), np.empty(n_lines)
        columns, values = np.empty(n_values, np.int32), np.empty(n_values)
        slow = np.empty((n_lines + n_values, 2), np.int64)
        most = self.n_features or MOST
        n, n_values, n_slow, lines, wrong, at = kernel.parse(
            text, len(text), most, rows, row_ends, labels, columns, values, slow
        )
        if wrong:
            _refuse(kernel, f"{self.source}:{self.done + lines + 1}", block, wrong, at, most)
        rows, row_ends, labels, values = rows[:n], row_ends[:n], labels[:n], values[:n_values]
        for row, begin in _by_python(block, slow[:n_slow], labels, values):
            if not abs(labels[row]) <= LARGEST:
                where = f"{self.source}:{self.done + int(rows[row, 0]) + 1}"
                _refuse(kernel, where, block, kernel.LABEL, begin, most)
        if n:
            self._keep(block, rows, labels)
            self.clipped += int((np.abs(values) > LARGEST).sum())
            if self.coarse is None:
                self.coarse = [column + 1 for column in coarse(columns[:n_values], values)]
            self._refuse_giant(rows, row_ends, columns[:n_values])
            dense = np.zeros((n, self.n_features or int(columns[:n_values].max(initial=-1)) + 1), np.float32)
            kernel.spread(row_ends, columns, values.clip(-LARGEST, LARGEST), dense)
            self.features.append(dense)
        self.done += lines

    def _refuse_giant(self, rows: np.ndarray, row_ends: np.ndarray, columns: np.ndarray) -> None:
        """Raise DataError for an index that makes a matrix of hardly anything but zeros, before it takes the memory."""
        self.n_docs, self.n_values = self.n_docs + len(rows), self.n_values + len(columns)
        if len(columns) and columns.max() >= self.widest[0]:
            at = int(columns.argmax())
            row = int(np.searchsorted(row_ends, at, "right"))
            self.widest = int(columns[at]) + 1, self.done + 1 + int(rows[row, 0])
        size = self.n_docs * (self.n_features or self.widest[0])
        if 4 * size > HEAVY and size > SPARSE * self.n_values:
            index, line = self.widest
            raise DataError(
                f"{self.source}:{line}: the largest feature index up to here, {index}, makes a matrix of "
                f"{4 * size / 1e9:.1f} GB, of which the file fills {self.n_values / size:.2%}; mend the index, or number "
                "the features anew without gaps (declared with n_features, indices beyond are refused)"
            )

    def _keep(self, block: bytes, rows: np.ndarray, labels: np.ndarray) -> None:
        """Remember labels, lists and ids of a block's documents."""
        before = sum(map(len, self.lines))
        for row in np.flatnonzero(rows[:, 5]).tolist():
            query_id = block[rows[row, 1] : rows[row, 2]]
            if not self.query_ids or query_id != self.query_ids[-1]:
                self.query_ids.append(query_id)
                self.starts.append(before + row)
        ids, given = [b""] * len(rows), np.zeros(len(rows), bool)
        for row in np.flatnonzero(rows[:, 3] >= 0).tolist():
            comment = block[rows[row, 3] : rows[row, 4]]
            name = DOC_ID.search(comment)
            given[row] = name is not None
            ids[row] = name[1] if name else b"".join(comment.split(maxsplit=1)[:1])
        self.n_given += int(given.sum())
        if not self.nameless and not given.all():
            self.nameless = self.done + 1 + int(rows[np.argmin(given), 0])
        self.doc_ids += ids
        self.lines.append(self.done + 1 + rows[:, 0])
        self.labels.append(labels.copy())

    def _refuse_split(self, lines: np.ndarray) -> None:
        first: dict[bytes, int] = {}
        for query_id, start in zip(self.query_ids, self.starts, strict=True):
            if wrong := _fault(query_id, query_fault):
                raise DataError(f"{self.source}:{lines[start]}: qid {wrong}")
            if query_id in first:
                raise DataError(
                    f"{self.source}:{lines[start]}: qid {query_id.decode()} is split in two blocks, the first of which begins "
                    f"at line {lines[first[query_id]]}; sort the lines by qid"
                )
            first[query_id] = start

    def _named(self, offsets: np.ndarray, lines: np.ndarray) -> np.ndarray | None:
        """[documents] ids that comments give, or None where they do not name every document of a list apart."""
        if not all(self.doc_ids) or 0 < self.n_given < len(self.doc_ids):
            return None
        longest = max(range(len(self.doc_ids)), key=lambda i: len(self.doc_ids[i]))
        size = sum(map(len, self.doc_ids))
        refuse_heavy(len(lines), size, len(self.doc_ids[longest]), f"{self.source}:{lines[longest]}: ")
        ids = as_bytes(np.array(self.doc_ids))
        for row in np.flatnonzero(doubtful(ids)).tolist():
            if wrong := _fault(self.doc_ids[row], fault):
                if self.n_given < len(ids):  # words of a comment that may not be meant to name anything
                    self.foreign = int(lines[row]) if _is_foreign(self.doc_ids[row]) else 0
                    return None
                raise DataError(f"{self.source}:{lines[row]}: docid {wrong}")
        twice = duplicate(offsets, ids)
        if twice is None:
            return ids
        if self.n_given < len(ids):
            return None
        raise DataError(
            f"{self.source}:{lines[twice]}: docid {self.doc_ids[twice].decode()} stands in its list twice; every document of a "
            "list needs an id of its own"
        )


def _is_foreign(name: bytes) -> bool:
    try:
        return not name.decode()
    except UnicodeDecodeError:
        return True


def _fault(name: bytes, of: Callable[[str], str]) -> str:
    """An id and what it must be and is not; empty for a good one."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return f"{name[:80]!r} must be UTF-8; convert the file"
    wrong = of(text)
    return f"{shown(text)} {wrong}" if wrong else ""


def _by_python(block: bytes, slow: np.ndarray, labels: np.ndarray, values: np.ndarray) -> Iterator[tuple[int, int]]:
    """Read the numbers that the parser left over; gives (row, place in the block) of the labels among them."""
    for place, begin in slow.tolist():
        number = float(WORD.match(block, begin)[0])  # type: ignore[index]
        if place >= 0:
            values[place] = number
        else:
            labels[-1 - place] = number
            yield -1 - place, begin


def _refuse(kernel: Any, where: str, block: bytes, wrong: int, at: int, most: int) -> NoReturn:
    """Raise DataError for what the parser found at a place of a block."""
    word = _word(block, at)
    if wrong == kernel.ENTRY and re.match(r"-\d+:", word):
        wrong = kernel.INDEX
    message = {
        kernel.LABEL: f"the label must be a finite number within float32, got {word!r}",
        kernel.NO_QID: f"{LINE}; no qid: stands behind the label, got {_line(block, at)!r}",
        kernel.ENTRY: f"a feature is written INDEX:VALUE with a whole index from 1, got {word!r}",
        kernel.INDEX: f"feature indices begin at 1, got {word!r}; add 1 to all of them where a file counts from 0",
        kernel.ORDER: f"feature indices must rise within a line, got {word!r} after an index as large or larger",
        kernel.BEYOND: f"feature indices end at n_features, {most}, got {word!r}; raise n_features or mend the line",
        kernel.VALUE: f"a feature's value must be a finite number, got {word!r}",
    }[wrong]
    raise DataError(f"{where}: {message}")


def _word(block: bytes, at: int) -> str:
    """The text at a place up to the next blank, 40 characters at most, for an error message."""
    return re.split(rb"[\s#]", block[at : at + 400], maxsplit=1)[0].decode(errors="replace")[:40]


def _line(block: bytes, at: int) -> str:
    """The beginning of the rest of a line."""
    return block[at : at + 60].split(b"\n")[0].decode(errors="replace").strip()
