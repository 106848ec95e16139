"""Parquet files, read by pyarrow: it checks every length that a file tells before it follows it, so damage is an error.

Readers that do not check end the interpreter, or give what lies elsewhere in memory, where a few bytes of a file are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ltr.errors import DataError, LtrError
from ltr.io.sources import Source

#: bytes of a column that are read at once
BUFFER = 2**20


@contextmanager
def refusing(source: Source) -> Iterator[None]:
    """Whatever pyarrow, or Python, stumbles over among the values of a file is refused.

    Raises:
        DataError: the file is no Parquet file, is damaged, or holds what neither can.
    """
    try:
        yield
    except LtrError:
        raise
    except MemoryError as error:
        raise DataError(
            f"{source}: it holds more than memory does, or is damaged ({error}); write it in parts"
        ) from error
    except Exception as error:  # arrow's errors are of many kinds, those of files and values among them
        said = " ".join(str(error).split())
        raise DataError(
            f"{source}: not a Parquet file that can be read ({type(error).__name__}: {said:.200}); fetch or write it anew"
        ) from error


@contextmanager
def opened_parquet(source: Source, in_parts: bool = False) -> Iterator[Any]:
    """A ``pyarrow.parquet.ParquetFile``; what is read of it within the block is refused alike.

    Args:
        source: the file.
        in_parts: of a regular file that is not packed: read what is asked for, when it is, and keep none of it.

    Raises:
        DataError: it is no Parquet file, or is damaged.
    """
    from pyarrow.parquet import ParquetFile

    with refusing(source):
        if in_parts and source.regular:
            # a file that is mapped, or read ahead, stays in memory as far as it has been read
            one = ParquetFile(source.path, pre_buffer=False, buffer_size=BUFFER, page_checksum_verification=True)
            with one as parquet:
                yield parquet
        else:
            with source.opened() as file, ParquetFile(file, page_checksum_verification=True) as parquet:
                yield parquet


def whole_table(source: Source) -> Any:
    """All columns of a Parquet file, those of an index included, as a ``pyarrow.Table`` with sound values.

    Raises:
        DataError: see ``opened_parquet``; two columns of one name.
    """
    with opened_parquet(source) as parquet:
        table = parquet.read(use_threads=False)
        table.validate(full=True)  # text that is no UTF-8 among others
    refuse_twice(source, table.column_names)
    return table


def refuse_twice(source: Source, names: Sequence[str]) -> None:
    """Raise DataError where two columns have one name."""
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise DataError(f"{source}: two columns have the name {twice!r}; rename or remove one")
