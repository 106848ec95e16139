"""Which kind of index a folder holds: vectors of a bi-encoder, or sparse ones."""

from __future__ import annotations

import os
from pathlib import Path

from ltr.search.index import SPARSE, Facts, Index, Part, VectorIndex, VectorPart, read_facts
from ltr.search.sparse_index import SparseIndex, SparsePart


def part_of(folder: str | os.PathLike, facts: Facts, shard: int) -> Part:
    """A shard in the making, of the kind that the facts name."""
    made = SparsePart if facts.similarity == SPARSE else VectorPart
    return made(folder, facts, shard)


def open_index(folder: str | os.PathLike) -> Index:
    """The index in a folder.

    Raises:
        DataError: no index, shards that are missing or damaged.
    """
    made = SparseIndex if read_facts(Path(folder)).similarity == SPARSE else VectorIndex
    return made(folder)
