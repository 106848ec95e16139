"""A shard: one file of tokenised texts, written once and mapped into memory."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

from ltr.data.lists.ragged import Ragged
from ltr.errors import DataError
from ltr.io.files import replacing

MAGIC = b"ltr tokens\n"
HEADER = 256


class Shard:
    """One file of tokenised texts: header, digests of the ids (2 x uint64), lengths (int32), tokens (uint16 or int32).

    Args:
        path: the file.
        verify: compare the checksum too, which reads the whole file; otherwise only header and size are checked.

    Raises:
        DataError: the file is damaged.
    """

    def __init__(self, path: Path, verify: bool = False):
        self.path = path
        try:
            with open(path, "rb") as file:
                head = file.read(HEADER)
                if not head.startswith(MAGIC):
                    raise ValueError("its header is unknown")
                facts = json.loads(head[len(MAGIC) :])
                self.n, self.n_tokens, self.dtype = facts["texts"], facts["tokens"], np.dtype(facts["dtype"])
                self._lengths_at = HEADER + 16 * self.n
                size = self._lengths_at + 4 * self.n + self.dtype.itemsize * self.n_tokens
                if path.stat().st_size != size:
                    raise ValueError(f"{path.stat().st_size} bytes instead of {size}")
                if verify:
                    checksum = 0
                    while block := file.read(2**22):
                        checksum = zlib.crc32(block, checksum)
                    if checksum != facts["checksum"]:
                        raise ValueError("its checksum does not fit")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"token cache: {path} is damaged: {error}; it is rebuilt when data are prepared") from None

    def digests(self) -> np.ndarray:
        """[2, texts] uint64, those of its texts' ids (``ltr.data.collections.ids.digests``)."""
        return np.fromfile(self.path, np.uint64, 2 * self.n, offset=HEADER).reshape(2, -1)

    def lengths(self) -> np.ndarray:
        """[texts] int32."""
        return np.fromfile(self.path, np.int32, self.n, offset=self._lengths_at)

    def tokens(self) -> np.ndarray:
        """[tokens], mapped into memory."""
        if not self.n_tokens:  # an empty range cannot be mapped
            return np.zeros(0, self.dtype)
        start = self._lengths_at + 4 * self.n
        # as a plain array: a memmap's own indexing costs 10 us a batch more
        return np.memmap(self.path, self.dtype, "r", start, (self.n_tokens,)).view(np.ndarray)

    @staticmethod
    def write(folder: Path, number: int, digests: np.ndarray, tokens: Ragged) -> None:
        """Write shard ``number`` of a folder beside its place and rename it."""
        body = [
            np.ascontiguousarray(digests, np.uint64).data.cast("B"),
            np.ascontiguousarray(tokens.lengths, np.int32).data.cast("B"),
            np.ascontiguousarray(tokens.values).data.cast("B"),
        ]
        checksum = 0
        for block in body:
            checksum = zlib.crc32(block, checksum)
        facts = {"texts": tokens.n, "tokens": len(tokens.values), "dtype": tokens.values.dtype.str}
        head = MAGIC + json.dumps({**facts, "checksum": checksum}).encode()
        # the checksum in the name: a rebuilt shard never stands where another process expects the damaged one's rows
        with replacing(folder / f"{number:06d}-{checksum:08x}.shard", "wb") as file:
            file.write(head.ljust(HEADER))
            file.writelines(body)


def sound_shards(folder: Path) -> tuple[list[Shard], list[str]]:
    """The shards of a folder that hold what was written, and what was wrong with the others, which are removed.

    A shard's checksum is compared once: what was found sound is noted with its size and time of change, so that a second
    start does not read all tokens (1.3 GB of MS MARCO).
    """
    note = folder / "verified.json"
    known = _noted(note)
    sound, wrong, seen = [], [], {}
    for path in sorted(folder.glob("*.shard")):
        state = _state(path)
        try:
            sound.append(Shard(path, verify=known.get(path.name) != state))
            seen[path.name] = state
        except DataError as error:
            wrong.append(str(error))
            path.unlink()
    if seen != known:
        with replacing(note) as file:
            json.dump(seen, file)
    return sound, wrong


def _noted(note: Path) -> dict[str, list[int]]:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        return {}  # not there, or damaged: then everything is verified anew


def _state(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]
