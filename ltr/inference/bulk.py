"""Scores of any number of (query, document) rows, into Parquet files that an interruption does not take away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.inference.bulk_rows import Rows, read_part, read_rows
from ltr.io.caching.digests import digest
from ltr.io.files import beside, replacing
from ltr.io.locks import only_writer

#: rows of a file that is written; also what an interruption costs at most
SHARD = 65_536
#: rows that go through the model together
CHUNK = 8_192
#: says what the files of a folder were made of
MANIFEST = "score.json"
#: (query, document) pairs -> [pairs] scores
Score = Callable[[list[tuple[str, str]]], np.ndarray]


@dataclass(frozen=True)
class Columns:
    """Which columns are read and written.

    Args:
        query, text: texts of both.
        keep: columns that are written beside the score, such as ids.

    Raises:
        ConfigError: a column twice, or one that ltr writes itself.
    """

    query: str = "query"
    text: str = "text"
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.every)) < len(self.every):
            raise ConfigError(f"score: a column must be named once, got {', '.join(self.every)}")
        if own := {"row", "score"} & set(self.keep):
            raise ConfigError(f"score: {', '.join(sorted(own))} is a column that ltr writes; rename that of the input")

    @property
    def every(self) -> list[str]:
        return [self.query, self.text, *self.keep]


def part_name(number: int) -> str:
    """The name of a file of scores.

    >>> part_name(3)
    'part-000003.parquet'
    """
    return f"part-{number:06d}.parquet"


def score_rows(
    source: str | os.PathLike,
    output: str | os.PathLike,
    score: Score,
    columns: Columns,
    signature: Mapping[str, str],
    shard: int = SHARD,
    done: Callable[[int], object] = lambda rows: None,
) -> int:
    """Score every row of a file; called again after an interruption, it goes on.

    ``part-000000.parquet`` and so on hold the columns ``row`` (from 0), those that are kept, and ``score`` (float32), in the
    order of the input. Memory does not grow with the number of rows.

    Args:
        source: see ``read_rows``.
        output: the folder to write.
        score: such as ``Reranker.score``.
        columns: which are read and written.
        signature: everything else that scores depend on, such as the model.
        shard: rows of a file that is written.
        done: called with the number of rows of each shard, also of those that were there.

    Returns:
        How many rows there are.

    Raises:
        DataError: the folder holds scores of other inputs, or another process is writing there; a row that cannot be scored.
        ConfigError: see ``Columns`` and ``read_rows``.
    """
    source, output = Path(source), Path(output)
    with writing(source, output, columns, {**signature, "shard": str(shard)}):
        total = 0
        for number, rows in enumerate(_shards(read_rows(source, columns.every, min(CHUNK, shard)), shard)):
            place, count = output / part_name(number), sum(len(part.places) for part in rows)
            if not place.exists():
                _write(place, scored_columns(rows, total, score, columns))
            total += count
            done(count)
    return total


@contextmanager
def writing(source: Path, output: Path, columns: Columns, signature: Mapping[str, str]) -> Iterator[None]:
    """Hold a folder of scores, which is begun or gone on with.

    Args:
        source: of the rows.
        output: the folder.
        columns: which are read and written.
        signature: everything else that the files depend on.

    Raises:
        DataError: see ``score_rows``.
    """
    if output.exists() and not output.is_dir():
        raise DataError(f"score: {output} is a file; give a folder")
    busy = f"score: another process is writing {output}; wait for it, or choose another --output"
    with only_writer(output, output.with_name(f".{output.name}.lock"), busy):
        begin(output, source, columns, signature)
        yield


def score_part(source: Path, output: Path, score: Score, columns: Columns, shard: int, number: int, total: int) -> int:
    """Score one shard of a Parquet file, unless its file is there; how many rows it has.

    The file is written whole or not at all, so that a shard which is repeated does no harm.

    Args:
        source: the file of rows.
        output: the folder of scores.
        score: see ``score_rows``.
        columns: which are read and written.
        shard: rows of each file that is written.
        number: which shard, from 0.
        total: rows of the source.
    """
    start, stop = number * shard, min((number + 1) * shard, total)
    place = output / part_name(number)
    if not place.exists():
        rows = list(read_part(source, columns.every, min(CHUNK, shard), start, stop))
        _write(place, scored_columns(rows, start, score, columns))
    return stop - start


def begin(output: Path, source: Path, columns: Columns, signature: Mapping[str, str]) -> None:
    """Note in the folder what its files are made of.

    Raises:
        DataError: files are there that were made of something else, or that tell nothing of it.
    """
    # by content: a file of the same name, size and time can hold other rows, and one that was moved the same
    own = {"source": digest(source, size=16), "columns": repr(columns), **signature}
    manifest = output / MANIFEST
    if not manifest.is_file():
        if output.is_dir() and any(output.iterdir()):
            raise DataError(f"score: {output} holds other files; give a new folder")
        with replacing(manifest) as file:
            json.dump(own, file, indent=2)
        return
    try:
        found = dict(json.loads(manifest.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"score: {manifest}, which tells what the files beside it were made of, cannot be read ({error}); delete "
            f"{output}, or choose another --output"
        ) from error
    if other := [key for key, value in own.items() if found.get(key) != value]:
        raise DataError(
            f"score: {output} was begun with another {' and another '.join(other)}; give the same inputs to go on with it, "
            "delete it, or choose another --output"
        )


def scored_columns(rows: Sequence[Rows], start: int, score: Score, columns: Columns) -> dict[str, Any]:
    """What is written of some rows.

    Args:
        rows: that stand one after the other.
        start: how many rows stand before them.
        score: see ``score_rows``.
        columns: see ``score_rows``.

    Raises:
        DataError: a row that cannot be scored, or a kept column that Parquet cannot hold; the latter before anything is scored.
    """
    kept = {name: _kept(name, rows) for name in columns.keep}
    found = [score(_pairs(part, columns)) for part in rows]
    scores = np.concatenate([*found, np.zeros(0, np.float32)]).astype(np.float32)
    return {"row": np.arange(start, start + len(scores)), **kept, "score": scores}


def _kept(name: str, rows: Sequence[Rows]) -> Any:
    """A column as an array of pyarrow's."""
    import pyarrow as pa

    try:
        return pa.array([value for part in rows for value in part.columns[name]], from_pandas=True)
    except (ValueError, TypeError, OverflowError, NotImplementedError) as error:  # pyarrow's own are kinds of these
        places = [place for part in rows for place in part.places]
        raise DataError(
            f"score: {places[0]} to {places[-1]}: column {name} cannot be kept, since a column of Parquet holds values of one kind "
            f"({' '.join(str(error).split()):.160}); write them as texts, or leave it out of --keep"
        ) from error


def _pairs(rows: Rows, columns: Columns) -> list[tuple[str, str]]:
    queries, texts = rows.columns[columns.query], rows.columns[columns.text]
    for place, query, text in zip(rows.places, queries, texts, strict=True):
        if not isinstance(query, str) or not query.strip() or not isinstance(text, str):
            raise DataError(
                f"score: {place}: needs a query that is not empty and a text, got {query!r:.80} and {text!r:.80}"
            )
    return list(zip(queries, texts, strict=True))


def _shards(parts: Iterator[Rows], size: int) -> Iterator[list[Rows]]:
    """Parts put together, and cut where a shard is full."""
    held: list[Rows] = []
    room = size
    for part in parts:
        while len(part.places) >= room:
            yield [*held, _cut(part, 0, room)]
            part, held, room = _cut(part, room, None), [], size
        if part.places:
            held.append(part)
            room -= len(part.places)
    if held:
        yield held


def _cut(part: Rows, start: int, stop: int | None) -> Rows:
    own = {name: values[start:stop] for name, values in part.columns.items()}
    return Rows(part.places[start:stop], own)


def _write(place: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    with beside(place) as part:
        write_table(pa.table(columns), part)
