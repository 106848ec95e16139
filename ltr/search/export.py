"""Vectors for vector databases: Parquet with an id and a vector in each row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ltr.io.files import beside
from ltr.io.runs import as_text
from ltr.search.index import Index, VectorIndex
from ltr.search.sparse_index import SparseIndex

#: rows of a row group
ROWS = 2**14


def write_parquet(index: Index, shard: int) -> Path:
    """Write a shard of an index as Parquet beside its arrays.

    Columns are ``doc_id`` and ``vector`` (float32, fixed length); of sparse vectors ``doc_id``, ``words`` (int32 numbers of
    the vocabulary) and ``weights`` (float32, as many).

    Args:
        index: the vectors.
        shard: which, from 0.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, last = index.facts.bounds(shard)
    kinds = _kinds(index)
    schema = pa.schema([("doc_id", pa.string()), *kinds])
    path = index.folder / index.facts.file(index.kinds[0], shard).replace(".npy", ".parquet")
    with beside(path) as part, pq.ParquetWriter(part, schema) as writer:
        for at in range(0, last - first, ROWS):
            ids = as_text(index.ids.raw[first + at : min(first + at + ROWS, last)])
            columns = _columns(index, shard, at, len(ids))
            writer.write_table(pa.Table.from_arrays([pa.array(ids.tolist(), pa.string()), *columns], schema=schema))
    return path


def _kinds(index: Index) -> list[tuple[str, Any]]:
    """(name, type) of the columns behind the id."""
    import pyarrow as pa

    if isinstance(index, VectorIndex):
        return [("vector", pa.list_(pa.float32(), index.facts.width))]
    return [("words", pa.list_(pa.int32())), ("weights", pa.list_(pa.float32()))]


def _columns(index: Index, shard: int, at: int, rows: int) -> list[Any]:
    """Arrays of the columns behind the id, of some rows."""
    import pyarrow as pa

    if isinstance(index, VectorIndex):
        block = np.array(index.shards[shard][at : at + rows], np.float32)
        return [pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), index.facts.width)]
    assert isinstance(index, SparseIndex)
    held = index.shards[shard]
    start = int(held.ends[at - 1]) if at else 0
    offsets = np.concatenate([[start], held.ends[at : at + rows]]) - start
    span = slice(start, start + int(offsets[-1]))
    values = np.array(held.words[span]), np.array(held.weights[span], np.float32)
    return [pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(one)) for one in values]
