"""Sparse vectors of a collection on disk: of each text the words that weigh anything, and their weights.

A shard is ``words-0001-of-0004.npy`` (int32 numbers of the vocabulary's words), ``weights-…`` and ``ends-…`` (int64, where
each text's entries end), beside its ids: plain ``.npy`` arrays, of which ``scipy.sparse.csr_array((weights, words, [0,
*ends]))`` is the matrix.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array

from ltr.errors import DataError
from ltr.io.disk import disk_errors
from ltr.search import inverted
from ltr.search.best import Best
from ltr.search.index import Index, Part, appended, head_of, kept_as, whole

#: what a row's end is kept in
ENDS = np.dtype(np.int64)
WORDS = np.dtype(np.int32)


class SparsePart(Part):
    """A shard of sparse vectors in the making. How many entries there are is known at the end, and written then."""

    # in the order in which they are written: what the ends speak of is there
    kinds = ("words", "weights", "ends")

    def done(self, block: int) -> int:
        with disk_errors(self.path):
            for kind in self.kinds:  # what an interruption among the renames left
                if self.place(kind).exists() and not self.part(kind).exists():
                    os.replace(self.place(kind), self.part(kind))
            if not all(map(self._begun, self.kinds)):
                for kind in self.kinds:
                    self.part(kind).write_bytes(self._head(kind, 0))
                self._entries = 0
                return 0
            ends = np.fromfile(self.part("ends"), ENDS, offset=len(self._head("ends", 0)))
            held = min(self._size(kind) for kind in ("words", "weights"))
            rows = whole(min(len(ends), int(np.searchsorted(ends, held, "right"))), self.rows, block)
            self._entries = int(ends[rows - 1]) if rows else 0
            for kind in self.kinds:
                size = rows if kind == "ends" else self._entries
                os.truncate(self.part(kind), len(self._head(kind, 0)) + size * self._dtype(kind).itemsize)
        return rows

    def append(self, vectors: csr_array) -> None:
        ends = vectors.indptr[1:].astype(ENDS) + self._entries
        with disk_errors(self.path):
            appended(self.part("words"), vectors.indices.astype(WORDS))
            appended(self.part("weights"), kept_as(self.facts.dtype, vectors.data))
            appended(self.part("ends"), ends)
        self._entries = int(ends[-1])

    def finish(self, ids: Sequence[np.ndarray]) -> None:
        with disk_errors(self.path):
            for kind in self.kinds:
                with open(self.part(kind), "r+b") as file:
                    file.write(self._head(kind, self.rows if kind == "ends" else self._entries))
                    file.flush()
                    os.fsync(file.fileno())
        super().finish(ids)

    def _dtype(self, kind: str) -> np.dtype:
        return {"words": WORDS, "weights": np.dtype(self.facts.dtype), "ends": ENDS}[kind]

    def _head(self, kind: str, size: int) -> bytes:
        return head_of(self._dtype(kind), (size,))

    def _size(self, kind: str) -> int:
        """Whole entries of a file."""
        return (self.part(kind).stat().st_size - len(self._head(kind, 0))) // self._dtype(kind).itemsize

    def _begun(self, kind: str) -> bool:
        """Whether a file has its head, with whatever size."""
        if not self.part(kind).exists() or self._size(kind) < 0:
            return False
        with open(self.part(kind), "rb") as file:
            try:
                np.lib.format.read_magic(file)
                (_,), _, dtype = np.lib.format.read_array_header_1_0(file)
            except ValueError:
                return False
        return dtype == self._dtype(kind)


class SparseIndex(Index):
    """Weights of words, as a SPLADE model gives them.

    Attributes:
        shards: sparse rows, mapped from files.
    """

    kinds = SparsePart.kinds

    def __init__(self, folder: str | os.PathLike):
        super().__init__(folder)
        self.shards = [self._shard(i) for i in range(self.facts.shards)]

    @property
    def n_weights(self) -> int:
        """Weights that are kept, of all texts."""
        return sum(len(shard.words) for shard in self.shards)

    def search(self, queries: csr_array, k: int, device: str | torch.device = "cpu") -> Best:
        return inverted.search(queries, self.shards, k, self.place)

    def _shard(self, number: int) -> inverted.Shard:
        ends = self._array("ends", number)
        entries = int(ends[-1]) if len(ends) else 0
        words, weights = (self._array(kind, number, rows=entries) for kind in ("words", "weights"))
        if len(ends) and (int(ends[0]) < 0 or bool((np.diff(ends) < 0).any())):
            path = self.folder / self.facts.file("ends", number)
            raise DataError(f"index: {path} is damaged (rows end before they begin); encode this shard anew")
        return inverted.Shard(words, weights, ends, self.facts.width)
