"""CSV and Parquet files as frames of columns, strictly: no row is shifted, filled up or cut without a word."""

from __future__ import annotations

import codecs
import csv
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ltr.errors import DataError
from ltr.io.parsing.parquet import refuse_twice, refusing, whole_table
from ltr.io.sources import BROKEN, Source

#: what may part the fields of a CSV file; the header tells
SEPARATORS = (",", ";", "\t")
#: bytes whose fields are counted at a time
BLOCK = 2**24
NEWLINE, RETURN = 10, 13


def read_csv(source: Source, ids: Sequence[str], needed: Sequence[str]) -> tuple[Any, np.ndarray]:
    """A CSV file with a header line (packed too), its fields parted by commas, semicolons or tabs.

    Args:
        source: the file; one that is named ``.tsv`` has tabs.
        ids: columns that are read as text, so that ``007`` and ``NA`` stay what they are.
        needed: columns that must be there; the separator is one with which they are.

    Returns:
        The frame, and [rows] the line that each row begins at. Blank lines are left out.

    Raises:
        DataError: naming file and line, for a row with more or fewer fields than the header, quotes that do not close, a
            column name twice, a header of numbers, bytes that are no UTF-8.
    """
    import pandas as pd

    data = _read(source)
    text = not data.isascii()
    try:
        separator, header, begin = _header(data, source, needed)
        lines = _lines(data, source, separator, header, begin)
        with warnings.catch_warnings():
            # columns of numbers and text are for their reader to judge, not for pandas
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            frame = pd.read_csv(
                io.BytesIO(data),
                sep=separator,
                header=0,
                names=header,
                index_col=False,
                dtype=dict.fromkeys([name for name in ids if name in header], str),
                keep_default_na=False,  # an id may be NA, and what is missing is an empty field
                na_values=[""],
            )
        if text:
            data.decode()  # pandas decodes columns of text alone
    except UnicodeDecodeError:
        raise _no_text(source, data) from None
    except (ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{source}: not a table that pandas reads: {error}") from error
    if len(frame) != len(lines):
        raise DataError(
            f"{source}: not a table that pandas reads: {len(lines)} rows stand in it, and pandas finds {len(frame)}"
        )
    return frame, lines


def read_parquet(source: Source) -> Any:
    """All columns of a Parquet file, those of an index and the fields of records (``record.field``) included.

    Raises:
        DataError: it is none, or is damaged, or two columns have one name; see ``ltr.io.parsing.parquet``.
    """
    table = whole_table(source)
    import pyarrow as pa

    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    refuse_twice(source, table.column_names)
    for at, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.float64()))
        elif pa.types.is_time(field.type):  # so are durations written where there is no type for them
            ticks = table.column(at).cast(pa.int32() if pa.types.is_time32(field.type) else pa.int64())
            table = table.set_column(at, field.name, ticks.cast(pa.int64()).cast(pa.duration(field.type.unit)))
    with refusing(source):
        # a block for each column: joined ones are copies
        return table.to_pandas(ignore_metadata=True, date_as_object=False, use_threads=False, split_blocks=True)


def _read(source: Source) -> bytes:
    try:
        with source.opened() as file:
            data: bytes = file.read()
    except BROKEN as error:
        raise DataError(f"{source}: the packed file is not whole ({error}); fetch or pack it again") from error
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise DataError(f"{source}: the table is empty; its first line names the columns")
    if b"\0" in data:
        raise DataError(f"{source}: the text must be UTF-8 without the character NUL; convert the file")
    return data


def _no_text(source: Source, data: bytes) -> DataError:
    try:
        data.decode()
        return DataError(f"{source}: the text must be UTF-8; convert the file")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return DataError(f"{source}:{line}: the text must be UTF-8, got {error.reason}; convert the file")


def _header(data: bytes, source: Source, needed: Sequence[str]) -> tuple[str, list[str], int]:
    """(separator, names, line) of the first line that is not blank."""
    headers = {sep: _first_row(data, sep) for sep in (("\t",) if source.stem.endswith(".tsv") else SEPARATORS)}
    best = max(
        headers, key=lambda sep: (len(set(needed).intersection(headers[sep][0])), len(headers[sep][0]), sep == ",")
    )
    names, line = headers[best]
    where = f"{source}:{line}"
    if all(map(_is_number, names)):
        raise DataError(f"{where}: the first line must name the columns, got the numbers {best.join(names)[:80]!r}")
    # pandas saves an index without a name
    names = [name if name.strip() else f"Unnamed: {i}" for i, name in enumerate(names)]
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise DataError(f"{where}: two columns have the name {twice!r}; rename or remove one")
    return best, names, line


def _first_row(data: bytes, separator: str) -> tuple[list[str], int]:
    rows = csv.reader(_text_lines(data), delimiter=separator)
    for row in rows:
        if row:
            return row, rows.line_num
    raise AssertionError("a table that is not empty has a first row")


def _text_lines(data: bytes) -> Iterator[str]:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lines(data: bytes, source: Source, separator: str, header: list[str], begin: int) -> np.ndarray:
    """[rows] line of each row below the header, when all have as many fields as it."""
    plain = b'"' not in data and (b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"))
    if plain and (rows := _regular(data, separator, len(header))):
        return np.arange(begin + 1, rows + 1)
    pieces = (_counted if plain else _parsed)(data, source, separator)
    texts = []
    for lines, fields in pieces:
        wrong = fields != len(header)
        if wrong.any():
            at = int(np.argmax(wrong))
            got, line = int(fields[at]), int(lines[at])
            more = (
                f"; a field that holds {separator!r} stands in quotes, and numbers have a decimal point"
                if got > len(header)
                else ""
            )
            raise DataError(
                f"{source}:{line}: the header names {len(header)} columns, and this row has {got} field{'s' * (got != 1)}: "
                f"{_shown(data, line)}{more}"
            )
        texts.append(lines)
    lines = np.concatenate(texts)
    return lines[lines > begin]


def _regular(data: bytes, separator: str, n: int) -> int:
    """How many lines there are, if all of them have ``n`` fields and none is blank (five times as fast); else 0."""
    mark = separator.encode()
    left = data.translate(None, bytes(set(range(256)) - {NEWLINE, mark[0]})) + b"\n" * (not data.endswith(b"\n"))
    rows, row = len(left) // n, mark * (n - 1) + b"\n"
    return rows if n > 1 and left == row * rows else 0


def _shown(data: bytes, line: int) -> str:
    return repr(next(text for i, text in enumerate(_text_lines(data), 1) if i == line).strip("\r\n")[:80])


def _counted(data: bytes, source: Source, separator: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(lines, fields in each) of some rows at a time, where nothing is quoted: by counting separators."""
    at, done = 0, 0
    while at < len(data):
        end = len(data) if at + BLOCK >= len(data) else data.rfind(b"\n", at, at + BLOCK) + 1
        end = end or data.find(b"\n", at) + 1 or len(data)
        text = np.frombuffer(data, np.uint8, end - at, at)
        ends = np.flatnonzero(text == NEWLINE)
        if not len(ends) or ends[-1] != len(text) - 1:
            ends = np.append(ends, len(text))
        fields = np.diff(np.searchsorted(np.flatnonzero(text == ord(separator)), ends), prepend=0) + 1
        length = np.diff(ends, prepend=-1) - 1
        blank = (length == 0) | ((length == 1) & (text[np.maximum(ends - 1, 0)] == RETURN))
        yield done + 1 + np.flatnonzero(~blank), fields[~blank]
        at, done = end, done + len(ends)


def _parsed(data: bytes, source: Source, separator: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(lines, fields in each) of all rows, where some are quoted: by the standard library's strict reader."""
    rows = csv.reader(_text_lines(data), delimiter=separator, strict=True)
    lines, fields, before = [], [], 0
    try:
        for row in rows:
            if row:
                lines.append(before + 1)
                fields.append(len(row))
            before = rows.line_num
    except csv.Error as error:
        raise DataError(f"{source}:{before + 1}: this row is no CSV: {error}; mend its quotes") from error
    yield np.array(lines), np.array(fields)
