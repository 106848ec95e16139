"""A collection encoded on a Ray cluster: each worker holds the model and writes whole shards of one index."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltr.data.collections.collection import Collection, load
from ltr.integrations.ray_data import PRECISIONS, Workers, answered, worked
from ltr.search.encoding import TextEncoding, What, encode, facts_of
from ltr.search.index import MANIFEST, begin, read_facts

#: texts of a shard, at most, where nobody says how many shards there are
TEXTS = 50_000


@dataclass(frozen=True)
class Encoder:
    """What each worker opens: the model and the collection, under the same names on every node.

    Args:
        model: folder or hub id.
        dataset: an ir-datasets id, or a folder that all nodes share.
        device, width, max_length, allow: see ``TextEncoding.load``.
        dtype, what: see ``ltr.search.encoding.encode``.
    """

    model: str
    dataset: str
    device: str = "auto"
    width: int | None = None
    max_length: int | None = None
    allow: Sequence[str] = ()
    dtype: str = "float32"
    what: What = "docs"


def encode_on_ray(
    encoder: Encoder,
    encoding: TextEncoding,
    collection: Collection,
    folder: str | os.PathLike,
    address: str,
    workers: Workers,
    shards: int | None = None,
) -> int:
    """What ``ltr.search.encoding.encode`` does for all shards, by workers of a cluster: the same files.

    The folder must be one that all nodes share. A worker that dies loses nothing: its shard is gone on with, by it or another
    command.

    Args:
        encoder: what workers open.
        encoding: the same model, open here: all workers compute in its precision.
        collection: likewise.
        folder: of the index.
        address: ``local``, ``auto``, or HOST:PORT.
        workers: see ``Workers``.
        shards: parts of the index; None for those of an index that was begun, else for as many as hold ``TEXTS`` at most, and
            one for each worker that was asked for.

    Returns:
        How many texts were encoded now.

    Raises:
        ConfigError: no cluster at the address.
        DataError: see ``encode``.
        MissingExtra: Ray is not installed.
    """
    place = Path(os.path.abspath(folder))
    n = shards or _usual(place, len(collection.queries) if encoder.what == "queries" else collection.n_docs, workers)
    facts = facts_of(encoding, collection, encoder.dtype, n, encoder.what)
    begin(place, facts, {"model": str(encoding.scorer.source), "dataset": collection.name, "what": encoder.what})
    given = {"encoder": encoder, "folder": str(place), "shards": n, "precision": PRECISIONS[encoding.precision]}
    items = [{"number": number} for number in range(1, n + 1)]
    return sum(one["texts"] for one in worked(address, "to encode on a cluster", items, _Shards, given, workers))


def _usual(folder: Path, rows: int, workers: Workers) -> int:
    """The shards of an index that was begun, else how many a new one has."""
    if (folder / MANIFEST).is_file():
        return read_facts(folder).shards
    return max(1, -(-rows // TEXTS), workers.count or 1)


class _Shards:
    """A worker of ``encode_on_ray``, with one computing thread, since there is a worker for each core."""

    def __init__(self, encoder: Encoder, folder: str, shards: int, precision: str):
        import torch

        torch.set_num_threads(1)
        self.encoding = TextEncoding.load(
            _shared(encoder.model), encoder.device, precision, encoder.width, encoder.max_length, encoder.allow
        )
        self.collection, self.encoder = load(_shared(encoder.dataset)), encoder
        self.folder, self.shards = folder, shards

    def work(self, number: int) -> dict[str, Any]:
        shard = number, self.shards
        return {
            "texts": encode(self.encoding, self.collection, self.folder, shard, self.encoder.dtype, self.encoder.what)
        }

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return answered(self, batch)


def _shared(name: str) -> str:
    return os.path.abspath(name) if os.path.exists(name) else name
