"""The documents whose sparse vectors have the largest inner product with a query's: exact, through an inverted index.

Documents are taken in blocks. The transpose of a block's matrix is its inverted index: for each word the documents that
have it, with their weights; a query meets those of its own words and no others. Products and sums are made in float64, in
the order of the query's words, and rounded to float32: a score depends on the two vectors alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.search.best import Best, Kept

#: documents of a block, and queries that meet it at a time: their products take at most 50 MB
ROWS, QUERIES = 2**15, 128


class Shard:
    """Rows of sparse vectors, one after the other; arrays may be mapped from files.

    Attributes:
        words: [entries] number of each weight's word, rising within a row.
        weights: [entries] float32 or float16.
        ends: [rows] int64, where each row ends.
        width: words of the vocabulary.
    """

    def __init__(self, words: np.ndarray, weights: np.ndarray, ends: np.ndarray, width: int):
        self.words, self.weights, self.ends, self.width = words, weights, ends, width

    @classmethod
    def of(cls, vectors: csr_array) -> Shard:
        """From a matrix."""
        return cls(vectors.indices, vectors.data, vectors.indptr[1:], vectors.shape[1])

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ends)

    def blocks(self, rows: int) -> Iterator[tuple[int, csr_array]]:
        """(first row, matrix [rows, width] in float64) of blocks."""
        for at in range(0, len(self), rows):
            ends = np.asarray(self.ends[at : at + rows])
            start = int(self.ends[at - 1]) if at else 0
            span = slice(start, int(ends[-1]))
            weights = np.asarray(self.weights[span], np.float64)
            indptr = np.concatenate([[start], ends]) - start
            yield at, csr_array((weights, np.asarray(self.words[span]), indptr), (len(ends), self.width))


def search(queries: csr_array, shards: Sequence[Shard], k: int, place: np.ndarray | None = None) -> Best:
    """The ``k`` rows with the largest inner products, for each query; rows that share no word with it are left out.

    Memory holds a block of documents twice and its products with some queries, however many shards there are.

    Args:
        queries: [queries, width] weights, finite.
        shards: the documents, in their order.
        k: documents per query.
        place: [rows of all shards] the place of each in the order of ties, such as by document id, descending; the row
            itself by default.

    Raises:
        ConfigError: k below 1.
        DataError: a weight that is not finite.
        ShapeError: another vocabulary.

    >>> docs = csr_array(np.float32([[0, 1, 0], [2, 0, 0], [1, 5, 0]]))
    >>> best = search(csr_array(np.float32([[1, 0, 0]])), [Shard.of(docs)], k=3)
    >>> best.rows.tolist(), best.scores.tolist()
    ([[1, 2, -1]], [[2.0, 1.0, -inf]])
    """
    if k < 1:
        raise ConfigError(f"search: k must be at least 1, got {k}")
    if any(shard.width != queries.shape[1] for shard in shards):
        raise ShapeError(
            f"search: queries and documents must have weights of one vocabulary, got {queries.shape[1]} words and "
            f"{', '.join(str(shard.width) for shard in shards[:4])}"
        )
    if not np.isfinite(queries.data).all():
        raise DataError(f"search: the vector of query row {_first_wrong(queries)} is not finite; the model overflows")
    asked = queries.astype(np.float64)
    kept = Kept(queries.shape[0], k, sum(map(len, shards)), place)
    first = 0
    for shard in shards:
        for at, block in shard.blocks(ROWS):
            if not np.isfinite(block.data).all():
                raise DataError(
                    f"search: the vector of document row {first + at + _first_wrong(block)} is not finite; the model "
                    "overflows, or the file is damaged"
                )
            postings = block.T.tocsr()
            for start in range(0, queries.shape[0], QUERIES):
                _fold(kept, asked[start : start + QUERIES] @ postings, start, first + at)
        first += len(shard)
    return kept.best


def _fold(kept: Kept, products: csr_array, start: int, first: int) -> None:
    """Keep the best of some queries' products with a block.

    Args:
        kept: what is there.
        products: [queries, rows] with what is not 0.
        start: number of the first query.
        first: number of the first row.
    """
    owners = np.repeat(np.arange(start, start + products.shape[0]), np.diff(products.indptr))
    scores = products.data.astype(np.float32)
    floor = np.full(products.shape[0], -np.inf)
    for i, (a, b) in enumerate(zip(products.indptr[:-1], products.indptr[1:], strict=True)):
        if b - a > kept.k:  # of a block's many, those that can be among the best
            floor[i] = np.partition(scores[a:b], b - a - kept.k)[b - a - kept.k]
    floor = np.maximum(floor, kept.floor[start : start + products.shape[0]])
    able = scores >= floor[owners - start]  # equal scores stand by their places
    kept.keep(owners[able], products.indices[able].astype(np.int64) + first, scores[able])


def _first_wrong(vectors: csr_array) -> int:
    """The first row with a weight that is not finite."""
    at = np.flatnonzero(~np.isfinite(vectors.data))[0]
    return int(np.searchsorted(vectors.indptr, at, "right")) - 1
