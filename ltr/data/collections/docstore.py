"""Documents by id from a docs file of any size, without holding their texts in memory."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ir_datasets.indices import Docstore

from ltr.data.collections.headers import refuse_header
from ltr.data.collections.ids import Ids
from ltr.errors import DataError
from ltr.io.caching.cached import cached
from ltr.io.caching.digests import digest
from ltr.io.ids import fault, shown
from ltr.io.names import cut
from ltr.io.parsing.strict_json import from_json
from ltr.io.sources import BROKEN, Source

#: ids looked up at a time, and how many texts read at once are more than a few
CHUNK, MANY = 2**16, 1000


class FolderDoc(NamedTuple):
    """A document of a plain folder."""

    doc_id: str
    title: str
    text: str

    def default_text(self) -> str:
        """What a ranker reads: the title, if there is one, and the text."""
        return f"{self.title} {self.text}" if self.title else self.text


def lines_of(path: str | os.PathLike | Source) -> Iterator[tuple[int, str]]:
    """(line number, line without its end) of a text file, packed or not, blank lines left out.

    Raises:
        DataError: naming the file, and the line where it is known, for bytes that are no UTF-8 or a broken packed file.
    """
    number = 0
    source = Source.of(path)
    with source.opened() as file:
        try:
            for number, line in enumerate(file, 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
        except UnicodeDecodeError as error:
            raise DataError(f"{source}:{number}: the text must be UTF-8, got {error}; convert the file") from None
        except BROKEN as error:
            raise DataError(
                f"{source}:{number + 1}: the packed file is broken ({error}); fetch or compress it again"
            ) from None


def read_docs(path: Path) -> Iterator[tuple[int, FolderDoc]]:
    """(line number, document) of a docs file, ``.jsonl`` or ``.tsv``, packed or not.

    Raises:
        DataError: naming file and line, for a line that is no document, such as one that names the columns of a table.
    """
    source = Source(path)
    table = source.stem.endswith(".tsv")
    parse, begun = _from_tsv if table else _from_json, not table
    for number, line in lines_of(source):
        if not begun:
            refuse_header(line.split("\t"), f"{path}:{number}", "documents")
            begun = True
        doc = parse(line, f"{path}:{number}")
        if wrong := fault(doc.doc_id):
            raise DataError(f"{path}:{number}: doc_id {wrong}, got {shown(doc.doc_id)}")
        yield number, doc


def _from_tsv(line: str, where: str) -> FolderDoc:
    fields = line.split("\t")
    if len(fields) not in (2, 3):
        raise DataError(
            f"{where}: a document line is doc_id<TAB>text or doc_id<TAB>title<TAB>text, got {len(fields)} fields: "
            f"{line[:80]!r}"
        )
    return FolderDoc(fields[0], fields[1] if len(fields) == 3 else "", fields[-1])


def _from_json(line: str, where: str) -> FolderDoc:
    try:
        record: Any = from_json(line)
    except ValueError as error:
        raise DataError(f"{where}: a document line must be JSON, got {line[:80]!r} ({error})") from None
    if not isinstance(record, dict) or "doc_id" not in record or "text" not in record:
        got = f"keys {', '.join(map(cut, list(record)[:10]))}" if isinstance(record, dict) else type(record).__name__
        raise DataError(f"{where}: a document is an object with doc_id, text and perhaps title, got {got}")
    doc = FolderDoc(record["doc_id"], record.get("title") or "", record["text"])
    for field, value in zip(doc._fields, doc, strict=True):
        if not isinstance(value, str):
            raise DataError(f"{where}: {field} must be a string, got {value!r:.80}")
    return doc


def content_hash(path: Path) -> str:
    """16 hexadecimal digits of a file's content; a large file that did not change is not read for it again."""
    return digest(path)


class LineStore(Docstore):
    """An ir-datasets docstore over one docs file, with an index in the user's cache.

    The first use reads the whole file once, checks every line, and writes three arrays beside a plain copy of the
    documents: where each starts, the sorted hashes of the ids, and the document each hash belongs to. A lookup then
    is a binary search and a read from a memory map: a million documents take 24 MB of index and no memory for text.

    Args:
        path: the docs file, ``.jsonl`` or ``.tsv``, packed or not.
        key: what identifies the content, for the cache.

    Raises:
        DataError: naming file and line, for a malformed line or an id that occurs twice.
    """

    def __init__(self, path: Path, key: str):
        super().__init__(FolderDoc)
        self.path, self.key = path, key
        self._open = False

    def __getstate__(self) -> dict[str, Any]:  # memory maps do not travel to worker processes: they open their own
        return {"path": self.path, "key": self.key}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __len__(self) -> int:
        self._ready()
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[FolderDoc]:
        return (self.at(i) for i in range(len(self)))

    def count(self) -> int:
        """The number of documents."""
        return len(self)

    def at(self, position: int) -> FolderDoc:
        """The document at a position of the file."""
        self._ready()
        return FolderDoc(*json.loads(self._text[self._starts[position] : self._starts[position + 1]]))

    def get_many_iter(self, doc_ids: Iterable[str]) -> Iterator[FolderDoc]:
        """The documents of ``doc_ids`` that exist, in the order asked."""
        self._ready()
        ids = list(doc_ids)
        hashes = np.fromiter(map(_hash, ids), np.uint64, len(ids))
        for doc_id, hashed, slot in zip(ids, hashes, np.searchsorted(self._hashes, hashes), strict=True):
            while slot < len(self._hashes) and self._hashes[slot] == hashed:
                doc = self.at(int(self._order[slot]))
                if doc.doc_id == doc_id:
                    yield doc
                    break
                slot += 1
        if len(ids) >= MANY and hasattr(mmap, "MADV_DONTNEED") and self._text:
            # whoever reads all texts would end with the whole file in memory: 3 GB of MS MARCO
            self._text.madvise(mmap.MADV_DONTNEED)

    def absent(self, doc_ids: Ids) -> Ids:
        """Those of ``doc_ids`` that have no document, without reading any text.

        Told by 64-bit hashes: an id that does not exist passes once in a million million, and is found out when its
        text is read.
        """
        self._ready()
        gone = np.ones(len(doc_ids), bool)
        for first in range(0, len(doc_ids) if len(self) else 0, CHUNK):
            chunk = doc_ids.raw[first : first + CHUNK].tolist()
            hashes = np.fromiter(map(_hash_of_bytes, chunk), np.uint64, len(chunk))
            slots = np.minimum(np.searchsorted(self._hashes, hashes), len(self) - 1)
            gone[first : first + CHUNK] = self._hashes[slots] != hashes
        return doc_ids[np.flatnonzero(gone)]

    def _ready(self) -> None:
        if self._open:
            return
        cached("docs", self.key, self._build, self._map)
        self._open = True

    def _map(self, folder: Path) -> None:
        self._starts, self._hashes, self._order = (
            # as a plain array, whose items cost a third of a memmap's
            np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
            for name in ("starts", "hashes", "order")
        )
        with open(folder / "docs.jsonl", "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != self._starts[-1]:
                raise ValueError(f"docs.jsonl has {size} bytes instead of {self._starts[-1]}")
            self._text: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""

    def _build(self, folder: Path) -> None:
        # arrays, since lists of integers would take 120 bytes a document
        starts, hashes, numbers = array("q", [0]), array("Q"), array("q")
        encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        with open(folder / "docs.jsonl", "wb") as file:
            for number, doc in read_docs(self.path):
                line = encode(doc).encode("utf-8", "surrogatepass")
                starts.append(starts[-1] + file.write(line + b"\n"))
                hashes.append(_hash(doc.doc_id))
                numbers.append(number)
        values = np.array(hashes, np.uint64)
        order = np.argsort(values, kind="stable")
        np.save(folder / "starts.npy", np.array(starts, np.int64))
        np.save(folder / "hashes.npy", values[order])
        np.save(folder / "order.npy", order.astype(np.int64))
        self._refuse_duplicates(values[order], order, numbers)

    def _refuse_duplicates(self, hashes: np.ndarray, order: np.ndarray, numbers: Sequence[int]) -> None:
        same = np.flatnonzero(hashes[1:] == hashes[:-1])
        if not len(same):
            return
        wanted = {numbers[i] for slot in same for i in order[slot : slot + 2]}
        seen: dict[str, int] = {}
        for number, doc in read_docs(self.path):
            if number in wanted and seen.setdefault(doc.doc_id, number) != number:
                raise DataError(
                    f"{self.path}:{number}: document id {doc.doc_id} stands on line {seen[doc.doc_id]} already; "
                    "ids must be unique"
                )


def _hash(doc_id: str) -> int:
    return _hash_of_bytes(doc_id.encode("utf-8", "surrogatepass"))


def _hash_of_bytes(doc_id: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(doc_id, digest_size=8).digest(), "little")
