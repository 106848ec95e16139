"""Which row of a token table an id has: a sorted table on disk, searched without holding ids."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ltr.data.tokens.shards import Shard
from ltr.io.caching.keys import key_of_parts
from ltr.io.files import replacing


class Index:
    """Rows by the digest of an id.

    Args:
        table: [3, texts] uint64: first half of the digest, rising; second half; row. It may be mapped from a file.
    """

    def __init__(self, table: np.ndarray):
        self._first, self._second, self._rows = table

    @classmethod
    def of(cls, shards: Sequence[Shard]) -> Index:
        """Of the rows of shards, in their order."""
        return cls(_table(shards))

    @classmethod
    def opened(cls, folder: Path, shards: Sequence[Shard], keep: bool = False) -> Index:
        """The index that a folder keeps of its shards, made where it is not there yet.

        Args:
            folder: where shards and index lie.
            shards: all of them.
            keep: write what had to be made, and remove those of other shards (only whoever holds the folder's lock may).
        """
        path = folder / f"index-{names_of([shard.path for shard in shards])}.npy"
        try:
            table = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            table = None
        n = sum(shard.n for shard in shards)
        if table is not None and table.shape == (3, n) and table.dtype == np.uint64:
            return cls(table.view(np.ndarray))
        made = _table(shards)
        if keep:
            with replacing(path, "wb") as file:
                np.save(file, made)
            for other in folder.glob("index-*.npy"):
                with suppress(PermissionError):  # where a process has it open and the system minds
                    if other != path:
                        other.unlink()
        return cls(made)

    def find(self, digests: np.ndarray) -> np.ndarray:
        """[ids] int64: the row of each id, given as [2, ids] digests; -1 where there is none."""
        rows = np.full(digests.shape[1], -1, np.int64)
        slots = np.searchsorted(self._first, digests[0])
        open_ = np.arange(len(rows))
        while len(open_):  # once, unless two ids share the first half
            open_ = open_[slots[open_] < len(self._first)]
            open_ = open_[self._first[slots[open_]] == digests[0, open_]]
            hit = self._second[slots[open_]] == digests[1, open_]
            rows[open_[hit]] = self._rows[slots[open_[hit]]]
            open_ = open_[~hit]
            slots[open_] += 1
        return rows


def names_of(paths: Sequence[Path]) -> str:
    """What identifies a list of shards: their names hold their checksums."""
    return key_of_parts("\n".join(path.name for path in paths), size=10)


def _table(shards: Sequence[Shard]) -> np.ndarray:
    digests = np.concatenate([np.zeros((2, 0), np.uint64), *(shard.digests() for shard in shards)], axis=1)
    order = np.argsort(digests[0], kind="stable")  # of two rows of one id the first is found
    return np.stack([digests[0, order], digests[1, order], order.astype(np.uint64)])
