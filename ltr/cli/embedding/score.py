"""``ltr score``: scores of rows in bulk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ltr.cli.command import at_least, talk
from ltr.cli.command import run as run_command
from ltr.errors import ConfigError
from ltr.machine.loudness import shows_bars


def score(
    source: str,
    /,
    *,
    model: str,
    output: str,
    query: str = "query",
    text: str = "text",
    keep: list[str] | None = None,
    shard: int = 65536,
    device: str = "auto",
    precision: Literal["auto", "32", "bf16"] = "auto",
    allow: list[str] | None = None,
    ray: str | None = None,
    workers: int | None = None,
) -> None:
    """Score (query, document) rows of a Parquet, JSONL or TSV file, however many, into a folder of Parquet files.

    Rows stream through the model: memory does not grow with their number. Each file of scores is written whole; the same
    command goes on after an interruption. Written are the columns row (from 0), those of --keep, and score, in the order of
    the input.

    Example: ltr score pairs.parquet --model runs/demo/best --output scores --keep qid docno

    Args:
        source: a .parquet, .jsonl or .tsv file with named columns (in a .tsv by its first line).
        model: folder or hub id of a cross-encoder, or the address of a server, such as http://127.0.0.1:8000.
        output: folder to write.
        query: column with the texts of queries.
        text: column with the texts of documents.
        keep: columns to write beside the score, such as ids.
        shard: rows of each file that is written.
        device: auto, cpu, cuda, cuda:1 ...
        precision: 32 is exact; bf16 is about twice as fast where the hardware has it; auto is bf16 there.
        ray: score on a Ray cluster: local (one worker for each core of this machine), auto, or HOST:PORT. The source must be
            Parquet, and source, output and model folders that all nodes share.
        workers: with --ray: how many (default: one for each GPU of the cluster, or each core where it has none).
        allow: packages, or classes by their import paths, that the model may name as its scorer; those of ltr it may anyway.
    """
    talk()
    at_least(1, shard=shard, workers=workers)
    if workers is not None and ray is None:
        raise ConfigError("--workers goes only with --ray; without it the model takes all cores of this machine")
    from tqdm import tqdm

    from ltr.inference import RemoteReranker, Reranker
    from ltr.inference.bulk import Columns, score_rows
    from ltr.inference.run_reranking import model_signature
    from ltr.io.files import existing_file

    columns = Columns(query, text, tuple(keep or ()))
    existing_file(source, "score")
    signature = {"model": model_signature(model)}
    ranker: Reranker | RemoteReranker
    if model.startswith(("http://", "https://")):
        ranker = RemoteReranker(model)
    else:
        ranker = Reranker.load(model, device, precision, allow=allow or ())
        signature["precision"] = ranker.precision
    with tqdm(desc="scoring", unit=" rows", disable=not shows_bars()) as bar:
        try:
            if ray is None:
                rows = score_rows(source, output, ranker.score, columns, signature, shard, bar.update)
            else:
                from ltr.integrations.ray_data import Model, Workers, score_on_ray

                made = Model.like(model, ranker, device, allow or ())
                del ranker  # each worker opens it for itself
                rows = score_on_ray(
                    source, output, made, columns, signature, ray, Workers(workers, device), shard, bar.update
                )
        except KeyboardInterrupt:
            print("\nwhat is finished is kept; the same command goes on from here", file=sys.stderr)
            raise
    print(f"{output}: {rows:,} scores in {len(list(Path(output).glob('part-*.parquet'))):,} files")


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr score``."""
    run_command(score, argv, prog="ltr score", short={"model": "-m", "output": "-o"})
