"""``ltr encode``: a collection's texts as vectors on disk."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ltr.cli.command import at_least, run, shell, talk
from ltr.errors import ConfigError, DataError
from ltr.machine.loudness import shows_bars


def encode(
    *,
    model: str,
    dataset: str,
    output: str,
    shard: str = "1/1",
    what: Literal["docs", "queries"] = "docs",
    dtype: Literal["float32", "float16"] = "float32",
    width: int | None = None,
    max_length: int | None = None,
    format: Literal["npy", "parquet"] = "npy",
    device: str = "auto",
    precision: Literal["auto", "32", "bf16"] = "auto",
    allow: list[str] | None = None,
    ray: str | None = None,
    workers: int | None = None,
    shards: int | None = None,
) -> None:
    """Encode the documents of a collection with a retriever, for ltr retrieve --index and for vector databases.

    The folder holds vectors and ids as .npy arrays, and a manifest with digits of the weights and of the documents:
    an index of other weights is refused wherever it is used, whatever the model is called. Of a sparse encoder (SPLADE)
    the words that weigh anything and their weights are kept. Finished blocks are kept: the same command goes on after an
    interruption.

    Args:
        model: folder or hub id of a bi-encoder or a sparse encoder, of ltr or of sentence-transformers.
        dataset: an ir-datasets id, pydocs, or a folder.
        output: the folder to write.
        shard: i/n encodes the i-th of n parts; several processes or machines may write one each into one folder.
        what: documents, or queries.
        dtype: of the numbers on disk; float16 takes half the room.
        width: keep the first so many numbers of each vector, for models that were trained so (Matryoshka).
        max_length: tokens of a document that are read (default: as the model was trained).
        format: npy, or parquet beside it (columns doc_id and vector; of a sparse encoder doc_id, words and weights), which
            needs pyarrow.
        device: auto, cpu, cuda, cuda:1 ...
        precision: 32 is exact; bf16 is faster where the hardware has it; auto is bf16 there.
        allow: packages, or classes by their import paths, that the model may name as its scorer.
        ray: encode on a Ray cluster: local (one worker for each core of this machine), auto, or HOST:PORT. Model, collection
            and output must be there under the same names on all nodes.
        workers: with --ray: how many (default: one for each GPU of the cluster, or each core where it has none).
        shards: with --ray: parts of the index, each written by one worker (default: one for 50,000 texts).
    """
    talk()
    at_least(1, width=width, max_length=max_length, shards=shards)
    _check_cluster(ray, workers, shards, shard)
    part = re.fullmatch(r"(\d+)/(\d+)", shard)
    if part is None:
        raise ConfigError(f"--shard must be i/n, such as 2/8, got {shard!r}")
    if Path(output).is_file():
        raise DataError(f"--output {output} is a file; name a folder")
    from ltr.data.collections.collection import load
    from ltr.search.encoding import TextEncoding
    from ltr.search.export import write_parquet
    from ltr.search.index import SPARSE, read_facts
    from ltr.search.kinds import open_index, part_of

    number, n = int(part[1]), int(part[2])
    encoding = TextEncoding.load(model, device, precision, width, max_length, allow or ())
    collection = load(dataset)
    try:
        if ray is None:
            from ltr.search.encoding import encode as encoded

            count = encoded(encoding, collection, output, (number, n), dtype, what, shows_bars())
        else:
            from ltr.integrations.ray_data import Workers
            from ltr.integrations.ray_encoding import Encoder, encode_on_ray

            there = Encoder(model, dataset, device, width, max_length, tuple(allow or ()), dtype, what)
            count = encode_on_ray(there, encoding, collection, output, ray, Workers(workers, device), shards)
    except KeyboardInterrupt:
        print("\nwhat is finished is kept; the same command goes on from here", file=sys.stderr)
        raise
    facts = read_facts(Path(output))
    first, last = facts.bounds(number - 1) if ray is None else (0, facts.rows)
    n, which = (n, f"shard {number}/{n}") if ray is None else (facts.shards, f"{facts.shards} shards")
    done = "" if count or first == last else "; all were there already"
    kind = (
        f"sparse vectors over {facts.width:,} words"
        if facts.similarity == SPARSE
        else f"vectors of {facts.width} numbers"
    )
    print(f"{output}: {last - first:,} {kind}, {which} of {dataset}{done}")
    lacking = [i for i in range(n) if not part_of(output, facts, i).complete]
    if lacking:
        print(f"shards to come: {', '.join(f'{i + 1}/{n}' for i in lacking[:8])}")
    elif format == "parquet":
        index = open_index(output)
        for i in range(n):
            print(f"{write_parquet(index, i)}: the same as Parquet")
    elif what == "docs":
        run_file = "sparse.trec" if facts.similarity == SPARSE else "dense.trec"
        print(
            f"next: {shell('ltr', 'retrieve', '--model', model, '--index', output, '--dataset', dataset, '--output', run_file)}"
        )
    if lacking and format == "parquet":
        print("Parquet is written when the last shard is there")


def _check_cluster(ray: str | None, workers: int | None, shards: int | None, shard: str) -> None:
    """Refuse options of a cluster without one, and the other way round."""
    for name, value in (("--workers", workers), ("--shards", shards)):
        if ray is None and value is not None:
            raise ConfigError(f"{name} goes only with --ray; without it --shard i/n encodes one part of n")
    if ray is not None and shard != "1/1":
        raise ConfigError(f"--ray encodes all shards, and --shard {shard} is one of them; say how many by --shards")


def main(argv: Sequence[str]) -> None:
    run(encode, argv, prog="ltr encode", short={"output": "-o"})
