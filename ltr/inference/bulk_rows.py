"""Rows of (query, document) from Parquet, JSON lines or a table parted by tabs, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from ltr.errors import ConfigError, DataError
from ltr.io.names import suggestion
from ltr.io.parsing.parquet import opened_parquet
from ltr.io.parsing.strict_json import from_json
from ltr.io.sources import Source

#: endings of files that can be read
KINDS = (".parquet", ".jsonl", ".tsv")


class Rows(NamedTuple):
    """Some rows that stand one after the other.

    Attributes:
        places: where each stands, for error messages.
        columns: name -> values.
    """

    places: Sequence[str]
    columns: dict[str, list[Any]]


def read_rows(path: Path, columns: Sequence[str], size: int) -> Iterator[Rows]:
    """All rows of a file, at most ``size`` at a time; no more of it is held.

    Args:
        path: ends in .parquet, .jsonl or .tsv (whose first line names the columns; nothing is quoted).
        columns: those that are read.
        size: rows at a time.

    Raises:
        ConfigError: another ending.
        DataError: a column that is not there, a line that cannot be read.
    """
    if path.suffix not in KINDS:
        raise ConfigError(f"score: {path} must end in {', '.join(KINDS)}, which says what it is")
    return {".parquet": _parquet, ".jsonl": _jsonl, ".tsv": _tsv}[path.suffix](path, columns, size)


def count_rows(path: Path, columns: Sequence[str]) -> int:
    """Rows of a Parquet file, without reading them.

    Raises:
        ConfigError: a file that is no Parquet, whose rows cannot be reached without reading those before them.
        DataError: a column that is not there, a file that cannot be read.
    """
    if path.suffix != ".parquet":
        raise ConfigError(
            f"score: {path}: workers read parts of a file each, which takes Parquet; write it as .parquet, or leave out --ray"
        )
    with _opened(path) as file:
        check_columns(path, columns, file.schema_arrow.names)
        return file.metadata.num_rows


def read_part(path: Path, columns: Sequence[str], size: int, start: int, stop: int) -> Iterator[Rows]:
    """Rows ``start:stop`` of a Parquet file, at most ``size`` at a time; only groups of rows that hold some are read.

    Raises:
        DataError: a file that cannot be read.
    """
    with _opened(path) as file:
        counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        ends = list(accumulate(counts))
        groups = [i for i, end in enumerate(ends) if end > start and end - counts[i] < stop]
        at = ends[groups[0]] - counts[groups[0]] if groups else 0
        for batch in file.iter_batches(size, row_groups=groups, columns=list(columns)):
            low, high = max(start - at, 0), min(stop - at, len(batch))
            if low < high:
                own = batch.slice(low, high - low)
                places = [f"{path}: row {at + i}" for i in range(low, high)]
                yield Rows(places, {name: own.column(name).to_pylist() for name in columns})
            at += len(batch)


def check_columns(path: Path, columns: Sequence[str], there: Sequence[str]) -> None:
    """Raise DataError for a column that is not there."""
    for name in columns:
        if name not in there:
            raise DataError(f"score: {path} has no column {name!r}; {suggestion(name, there)}")


def _parquet(path: Path, columns: Sequence[str], size: int) -> Iterator[Rows]:
    yield from read_part(path, columns, size, 0, count_rows(path, columns))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file, some of which is read at a time."""
    with opened_parquet(Source(path, "score"), in_parts=True) as file:
        yield file


def _jsonl(path: Path, columns: Sequence[str], size: int) -> Iterator[Rows]:
    def parsed() -> Iterator[tuple[str, list[Any]]]:
        for number, line in _lines(path):
            try:
                record = from_json(line)
            except ValueError as error:
                raise DataError(f"score: {path}:{number}: a line must be JSON ({error}), got {line[:80]!r}") from error
            if not isinstance(record, dict):
                raise DataError(f"score: {path}:{number}: a line must be an object, got {line[:80]!r}")
            check_columns(Path(f"{path}:{number}"), columns, list(record))
            yield f"{path}:{number}", [record[name] for name in columns]

    return _grouped(parsed(), columns, size)


def _tsv(path: Path, columns: Sequence[str], size: int) -> Iterator[Rows]:
    def parsed() -> Iterator[tuple[str, list[Any]]]:
        lines = _lines(path)
        _, header = next(lines, (1, ""))
        names = header.split("\t")
        check_columns(path, columns, names)
        for name in columns:
            if names.count(name) > 1:
                raise DataError(f"score: {path}: two columns have the name {name!r}; rename or remove one")
        places = [names.index(name) for name in columns]
        for number, line in lines:
            fields = line.split("\t")
            if len(fields) != len(names):
                raise DataError(f"score: {path}:{number}: needs {len(names)} fields parted by tabs, got {len(fields)}")
            yield f"{path}:{number}", [fields[place] for place in places]

    return _grouped(parsed(), columns, size)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that are not empty."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(f"score: {path}:{number}: a line must be UTF-8 text ({error})") from None
            if text:
                yield number, text


def _grouped(rows: Iterator[tuple[str, list[Any]]], columns: Sequence[str], size: int) -> Iterator[Rows]:
    places: list[str] = []
    held: list[list[Any]] = []
    for place, values in rows:
        places.append(place)
        held.append(values)
        if len(held) == size:
            yield Rows(places, dict(zip(columns, map(list, zip(*held, strict=True)), strict=True)))
            places, held = [], []
    if held:
        yield Rows(places, dict(zip(columns, map(list, zip(*held, strict=True)), strict=True)))
