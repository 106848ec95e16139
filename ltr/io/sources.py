"""Files to read: unpacked by what they hold, and read once where they cannot be read again."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ltr.errors import DataError
from ltr.io.caching.digests import digest
from ltr.io.files import existing_file

#: what unpacking says of bytes that are not all of a packed file
BROKEN = (EOFError, zlib.error, lzma.LZMAError, OSError)
#: first bytes of packed files, and the ending that such files usually have; none of them can begin a line of text
PACKED = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
#: behind BZh stands a digit, then the mark of a block or that of the end
BZ2_MARKS = (b"1AY&SY", b"\x17rE8P\x90")
HEAD = 10


class Source:
    """A file to read, from its beginning as often as one likes.

    A pipe, a device or standard input (``-``) gives its bytes once: they are read when first asked for, and kept. A
    regular file is opened each time. What is packed (.gz, .bz2, .xz, .zst) is known by its first bytes, so that the name
    of a pipe need not tell.

    Args:
        path: the file, or ``-`` for standard input.
        what: what it is, for the error when it is missing.

    Raises:
        DataError: there is no such file, or it is a folder.
    """

    def __init__(self, path: str | os.PathLike, what: str = "input"):
        self.name = os.fspath(path)
        self.path = Path("standard input") if self.name == "-" else existing_file(path, what)
        #: whether it can be opened again
        self.regular = self.name != "-" and self.path.is_file()
        self._kept: bytes | None = None

    @classmethod
    def of(cls, path: str | os.PathLike | Source, what: str = "input") -> Source:
        """The source of a path; what is a source already stays as it is."""
        return path if isinstance(path, Source) else cls(path, what)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        """Bytes, as they are packed."""
        return self.path.stat().st_size if self.regular else len(self._bytes())

    @property
    def stem(self) -> str:
        """The file's name without the ending that says how it is packed, in small letters."""
        name = self.path.name.lower()
        return next((name.removesuffix(end) for end in PACKED.values() if name.endswith(end)), name)

    @property
    def packed(self) -> bool:
        """Whether the bytes are to be unpacked."""
        with self.raw() as file:
            return self._packed(file.read(HEAD)) is not None

    @property
    def state(self) -> tuple[int, ...]:
        """What changes whenever a regular file does; what was kept never changes."""
        if not self.regular:
            return ()
        facts = self.path.stat()
        return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns

    def digest(self) -> str:
        """16 hexadecimal digits of the content; see ``ltr.io.caching.digests.digest``."""
        if self.regular:
            with self._told():
                return digest(self.path)
        return hashlib.blake2b(self._bytes(), digest_size=8).hexdigest()

    @contextlib.contextmanager
    def raw(self, buffering: int = -1) -> Iterator[IO[bytes]]:
        """The bytes as they stand."""
        if not self.regular:
            yield io.BytesIO(self._bytes())
            return
        with self._told():
            file = open(self.path, "rb", buffering=buffering)  # noqa: SIM115 (an error inside the block is none of opening)
        with file:
            yield file

    @contextlib.contextmanager
    def opened(self, buffering: int = -1) -> Iterator[Any]:
        """The unpacked bytes. Reading raises one of ``BROKEN`` where a packed file is not whole."""
        with self.raw(buffering) as file:
            packed = self._packed(file.read(HEAD))
            file.seek(0)
            if packed == ".zst":
                yield io.BytesIO(_unpacked(file.read()))
            elif packed:
                unpacking: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
                with unpacking[packed](file, "rb") as unpacked:
                    yield unpacked
            else:
                yield file

    @contextlib.contextmanager
    def text(self, errors: str = "strict") -> Iterator[IO[str]]:
        """The unpacked UTF-8 text; the mark that editors of Windows put before it is no part of it."""
        with self.opened() as file, io.TextIOWrapper(file, encoding="utf-8-sig", errors=errors) as lines:
            yield lines

    def _packed(self, head: bytes) -> str | None:
        packing = next((end for mark, end in PACKED.items() if head.startswith(mark)), None)
        if packing == ".bz2" and not head[4:].startswith(BZ2_MARKS):
            packing = None
        # what the name promises and the bytes do not hold is for unpacking to refuse
        return packing or (self.path.suffix.lower() if head and self.path.suffix.lower() in PACKED.values() else None)

    def _bytes(self) -> bytes:
        if self._kept is None:
            with self._told():
                if self.name == "-":
                    self._kept = sys.stdin.buffer.read()
                else:
                    with open(self.path, "rb") as file:
                        self._kept = file.read()
        return self._kept

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"{self.path}: it cannot be read: {error.strerror or error}") from error


def _unpacked(data: bytes) -> bytes:
    import pyarrow as pa  # for the few files that need it

    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as unpacking:
            return bytes(unpacking.read())
    except OSError as error:
        raise EOFError(str(error)) from error
