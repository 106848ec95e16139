"""The documents whose vectors have the largest inner product with a query's: exact, streamed over shards.

A score is the inner product in float64, rounded to float32: it depends on the two vectors alone, not on the size of
blocks, the number of threads, or what computes it. What is fast (bfloat16, or float32 in blocks) only finds a shortlist,
and bounds on its rounding errors decide who must be on it: no document is left out whose score could be among the best k.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.scorers.hardware import multiplies_bf16
from ltr.search.best import Best, Kept

#: rows of a shard and queries that are multiplied at a time: their product stays near the processor
ROWS, QUERIES = 4096, 1024
#: the same on a GPU
GPU_ROWS, GPU_QUERIES = 65536, 1024
#: entries of a shortlist from which it is rescored at once, so that memory stays bounded where everything ties
MOST = 2**21
#: half a unit in the last place, relative to a number: of 8 and of 24 binary digits
BF16, FP32 = 2.0**-8, 2.0**-24


def search(
    queries: np.ndarray,
    shards: Sequence[np.ndarray],
    k: int,
    place: np.ndarray | None = None,
    device: str | torch.device = "cpu",
) -> Best:
    """The ``k`` rows with the largest inner products, for each query.

    Shards are read one after the other, in blocks: memory holds one shard (if it is mapped: what the system keeps of
    it) and some blocks. Of equal scores (as float32) the row with the smaller place stands first.

    Args:
        queries: [queries, dim] float32, finite.
        shards: each [rows, dim] float32 or float16, finite; they may be mapped from files.
        k: documents per query; where there are fewer, all are given.
        place: [rows of all shards] the place of each in the order of ties, such as by document id, descending; the row
            itself by default.
        device: where the shortlist is computed.

    Raises:
        ConfigError: k below 1.
        DataError: a vector that is not finite.
        ShapeError: vectors of different width.

    >>> best = search(np.float32([[1, 0]]), [np.float32([[0, 1], [2, 0]]), np.float32([[1, 5]])], k=2)
    >>> best.rows.tolist(), best.scores.tolist()
    ([[1, 2]], [[2.0, 1.0]])
    """
    if k < 1:
        raise ConfigError(f"search: k must be at least 1, got {k}")
    queries = np.ascontiguousarray(queries, np.float32)
    _check(queries, shards)
    wanted = _Wanted(queries, k, place, sum(map(len, shards)))
    first = 0
    with _full_precision():
        for shard in shards:
            _look_through(wanted, shard, first, torch.device(device))
            first += len(shard)
    return wanted.best


def scored(
    queries: np.ndarray, shards: Sequence[np.ndarray], rows: np.ndarray, place: np.ndarray | None = None
) -> Best:
    """Rows that something else found, with the scores of ``search`` and in its order.

    Args:
        queries, shards, place: see ``search``.
        rows: [queries, k] rows; -1 for none.
    """
    wanted = _Wanted(np.ascontiguousarray(queries, np.float32), rows.shape[1], place, sum(map(len, shards)))
    first = 0
    for shard in shards:
        owner, column = np.nonzero((rows >= first) & (rows < first + len(shard)))
        wanted.fold(shard, first, owner, rows[owner, column] - first)
        first += len(shard)
    return wanted.best


class _Wanted(Kept):
    """The queries, and their best documents so far, with exact scores."""

    def __init__(self, queries: np.ndarray, k: int, place: np.ndarray | None, n_rows: int):
        super().__init__(len(queries), k, n_rows, place)
        self.queries = queries

    def fold(self, shard: np.ndarray, first: int, owners: np.ndarray, local: np.ndarray) -> None:
        """Score candidates of a shard exactly, and keep the best k of each query.

        Args:
            shard: the vectors.
            first: number of the shard's first row.
            owners: [candidates] whose candidate, rising.
            local: [candidates] row within the shard.
        """
        if len(owners):
            self.keep(owners, local + first, self._exact(shard, owners, local))

    def _exact(self, shard: np.ndarray, owners: np.ndarray, local: np.ndarray) -> np.ndarray:
        """[candidates] float32 scores: products and sums in float64."""
        scores = np.empty(len(owners), np.float32)
        bounds = np.flatnonzero(np.diff(owners, prepend=-1))
        for start, end in zip(bounds.tolist(), [*bounds[1:].tolist(), len(owners)], strict=True):
            query = self.queries[owners[start]].astype(np.float64)
            for at in range(start, end, ROWS):
                rows = local[at : min(at + ROWS, end)]
                # einsum adds in an order that depends on the vectors' width alone; a BLAS looks at the number of rows
                scores[at : at + len(rows)] = np.einsum("ij,j->i", shard[rows].astype(np.float64), query)
        return scores


def _look_through(wanted: _Wanted, shard: np.ndarray, first: int, device: torch.device) -> None:
    """Fold the best of a shard into what is there."""
    on_gpu = device.type != "cpu"
    rows, some = (GPU_ROWS, GPU_QUERIES) if on_gpu else (ROWS, QUERIES)
    half = not on_gpu and multiplies_bf16(device)
    every = range(0, len(wanted.queries), some)
    tiles = [_Tile(wanted, slice(at, at + some), device, half) for at in every]
    for number, start in enumerate(range(0, len(shard), rows)):
        part = np.array(shard[start : start + rows], np.float32)  # a copy: torch warns of what is mapped read-only
        block = torch.from_numpy(part).to(device)
        longest = _longest(block, first + start)
        block, lost = _halved(block) if half else (block, 0.0)
        for tile in tiles:
            tile.look_at(block, longest, lost, start)
            if number.bit_count() == 1 or len(tile) > MOST:  # after 1, 2, 4 ... more blocks
                tile.prune()
            if len(tile) > MOST:
                tile.fold(shard, first)
    for tile in tiles:
        tile.prune()
        tile.fold(shard, first)


class _Tile:
    """Some queries, and their shortlist of one shard.

    An approximate score a of a document with true score s keeps |a - s| <= error + slack |a|: the inputs' rounding and
    that of sums by Cauchy and Schwarz (error), the output's rounding (slack).
    """

    def __init__(self, wanted: _Wanted, own: slice, device: torch.device, half: bool):
        self.wanted, self.own, self.device = wanted, own, device
        exact = torch.from_numpy(wanted.queries[own]).to(device)
        self.queries = exact.bfloat16() if half else exact
        lost = torch.linalg.vector_norm((exact - self.queries.float()).double(), dim=1)
        norms = torch.linalg.vector_norm(exact.double(), dim=1)
        sums = 2 * (exact.shape[1] + 4) * FP32
        #: [queries] error per length of a document's vector, and per length of what rounding takes from it
        self.error, self.error_of_lost = lost + (norms + lost) * sums, norms + lost
        self.slack = BF16 / (1 - BF16) if half else 0.0
        self.floor = torch.from_numpy(wanted.floor[own]).to(device)
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def look_at(self, block: Tensor, longest: float, lost: float, start: int) -> None:
        """Put those rows of a block on the shortlist that could be among the best.

        Args:
            block: [rows, dim].
            longest: the length of its longest vector before rounding.
            lost: the length of what rounding took, at most.
            start: the number of its first row in the shard.
        """
        scores = self.queries @ block.T
        error = self.error * longest + self.error_of_lost * lost + 1e-30
        k = self.wanted.k
        if scores.shape[1] >= k and not len(self) and bool((self.floor == -torch.inf).any()):
            least = scores.float().topk(k).values[:, -1].double()
            self.floor = torch.maximum(self.floor, least - self.slack * least.abs() - error)
        reach = self.floor - error
        reach = torch.where(reach > 0, reach / (1 + self.slack), reach / (1 - self.slack))
        # the nearest number of the scores' own kind that is not above
        bound = torch.nextafter(reach.float(), torch.full_like(reach.float(), -torch.inf))
        if scores.dtype == torch.bfloat16:
            bound = bound.clamp(min=torch.finfo(torch.bfloat16).min)
            near = bound.bfloat16()
            bound = torch.where(near.float() > bound, torch.nextafter(near, torch.full_like(near, -torch.inf)), near)
        owner, row = torch.nonzero(scores >= bound[:, None].to(scores.dtype), as_tuple=True)
        approximate = scores[owner, row].double()
        least = approximate - self.slack * approximate.abs() - error[owner]
        most = approximate + self.slack * approximate.abs() + error[owner]
        self._parts.append((owner, row + start, torch.stack([least, most])))
        self._size += len(owner)

    def prune(self) -> None:
        """Take from the shortlist who cannot be among the best any more."""
        if not len(self):
            return
        owner, row, bounds = (torch.cat(part, -1) for part in zip(*self._parts, strict=True))
        order = torch.argsort(bounds[0], descending=True)
        order = order[torch.argsort(owner[order], stable=True)]
        owner, row, bounds = owner[order], row[order], bounds[:, order]
        sizes = torch.bincount(owner, minlength=len(self.queries))
        ends = sizes.cumsum(0)
        enough = sizes >= self.wanted.k
        at = (ends - sizes + self.wanted.k - 1)[enough]
        self.floor[enough] = torch.maximum(self.floor[enough], bounds[0, at])
        keep = bounds[1] >= self.floor[owner]
        self._parts = [(owner[keep], row[keep], bounds[:, keep])]
        self._size = int(keep.sum())

    def fold(self, shard: np.ndarray, first: int) -> None:
        """Score the shortlist exactly and empty it."""
        if len(self):
            owner, row, _ = (torch.cat(part, -1) for part in zip(*self._parts, strict=True))
            owner, order = torch.sort(owner, stable=True)
            self.wanted.fold(shard, first, self.own.start + owner.cpu().numpy(), row[order].cpu().numpy())
        self.floor = torch.maximum(self.floor, torch.from_numpy(self.wanted.floor[self.own]).to(self.device))
        self._parts, self._size = [], 0


def _longest(block: Tensor, first: int) -> float:
    """The length of the longest vector. Raises DataError where one is not finite."""
    norms = torch.linalg.vector_norm(block, dim=1)
    longest = float(norms.max()) if len(norms) else 0.0
    if not np.isfinite(longest):
        at = int(torch.nonzero(~torch.isfinite(norms))[0])
        raise DataError(
            f"search: the vector of document row {first + at} is not finite; the model overflows, or the file is damaged"
        )
    return longest * (1 + 1e-4)  # the norm's own rounding


def _halved(block: Tensor) -> tuple[Tensor, float]:
    """Vectors in bfloat16, and the length of what rounding took from one of them, at most."""
    rounded = block.bfloat16()
    lost = torch.linalg.vector_norm(block - rounded.float(), dim=1)
    return rounded, float(lost.max()) * (1 + 1e-4) if len(lost) else 0.0


def _check(queries: np.ndarray, shards: Sequence[np.ndarray]) -> None:
    if queries.ndim != 2 or any(shard.ndim != 2 or shard.shape[1] != queries.shape[1] for shard in shards):
        shapes = ", ".join(str(list(shard.shape)) for shard in shards[:4])
        raise ShapeError(
            f"search: queries and shards must be [rows, dim] with one dim, got {list(queries.shape)} and {shapes}"
        )
    wrong = ~np.isfinite(queries).all(axis=1)
    if wrong.any():
        raise DataError(f"search: the vector of query row {int(wrong.argmax())} is not finite; the model overflows")


@contextlib.contextmanager
def _full_precision() -> Iterator[Any]:
    """float32 products with all bits of float32, whatever the process has allowed."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_float32_matmul_precision(before)
