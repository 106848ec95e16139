"""Vectors for vector databases: Parquet with an id and a vector in each row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ltr.errors import MissingExtra
from ltr.io.files import beside
from ltr.io.runs import as_text
from ltr.search.index import VectorIndex

#: rows of a row group
ROWS = 2**14


def write_parquet(index: VectorIndex, shard: int) -> Path:
    """Write a shard of an index as Parquet beside its arrays: columns ``doc_id`` and ``vector`` (float32, fixed length).

    Args:
        index: the vectors.
        shard: which, from 0.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", "to write vectors as Parquet") from None
    width, vectors = index.facts.width, index.shards[shard]
    first, last = index.facts.bounds(shard)
    schema = pa.schema([("doc_id", pa.string()), ("vector", pa.list_(pa.float32(), width))])
    path = index.folder / index.facts.file("vectors", shard).replace(".npy", ".parquet")
    with beside(path) as part, pq.ParquetWriter(part, schema) as writer:
        for at in range(0, last - first, ROWS):
            block = np.array(vectors[at : at + ROWS], np.float32)
            ids = as_text(index.ids.raw[first + at : first + at + len(block)])
            column = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), width)
            writer.write_table(pa.Table.from_arrays([pa.array(ids.tolist(), pa.string()), column], schema=schema))
    return path
