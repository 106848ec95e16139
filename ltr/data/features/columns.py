"""Tables with named columns (CSV, Parquet) as lists of documents with features, with errors by row and column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ltr.data.features.table import FeatureTable
from ltr.data.lists.ragged import offsets_of
from ltr.errors import DataError
from ltr.io.files import existing
from ltr.io.names import suggestion
from ltr.io.runs import as_bytes, duplicate


@dataclass(frozen=True)
class Columns:
    """Which column of a table is what.

    Attributes:
        list_id: rows of equal value make a list, wherever they stand.
        item_id: names the document; None for ``LIST-LINE``.
        label: the amount of engagement.
        features: names in order; None takes every other column of numbers.
        weight: importance of a row; None for 1.
        covariate: one more feature, wherever it is not among them.
        left_out: a column that is no feature, though it is one of numbers.
    """

    list_id: str
    item_id: str | None
    label: str
    features: tuple[str, ...] | None = None
    weight: str | None = None
    covariate: str | None = None
    left_out: str | None = None

    def chosen(self, available: Iterable[str]) -> tuple[str, ...]:
        """The features, where ``available`` are all columns that could be one."""
        given = available if self.features is None else self.features
        more = [] if self.covariate is None else [self.covariate]
        return tuple(name for name in dict.fromkeys([*given, *more]) if name != self.left_out)

    @property
    def others(self) -> set[str | None]:
        """The columns that are something else than a feature."""
        return {self.list_id, self.item_id, self.label, self.weight, self.left_out}


class ColumnFile:
    """One CSV (.gz too) or Parquet file, and where its rows stand.

    Args:
        path: the file; what ends in ``.parquet`` is Parquet, all else CSV with a header.
        ids: columns that are read as text, so that ``007`` stays.

    Raises:
        DataError: no such file, or one that cannot be read, or without rows.
    """

    def __init__(self, path: str, ids: Sequence[str]):
        import pandas as pd

        self.path = existing(path, "data")
        self.packed = self.path.suffix in (".parquet", ".pq")
        try:
            if self.packed:
                # not through pandas, which will have no engine for it without the much larger pyarrow
                from fastparquet import ParquetFile

                with open(self.path, "rb") as file:
                    self.frame = ParquetFile(file).to_pandas()
            else:
                self.frame = pd.read_csv(self.path, dtype=dict.fromkeys(ids, str), skip_blank_lines=False)
        except (ValueError, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: not a table that pandas reads: {error}") from error
        if not len(self.frame):
            raise DataError(f"{self.path}: the table holds no row")

    def __getitem__(self, name: str) -> Any:
        """A column. Raises DataError where it is not there."""
        if name not in self.frame.columns:
            raise DataError(f"{self.path}: no column {name!r}; {suggestion(name, map(str, self.frame.columns))}")
        return self.frame[name]

    def numeric(self, columns: Columns) -> tuple[str, ...]:
        """The columns of numbers that are nothing else. Raises DataError where there is none."""
        from pandas.api.types import is_numeric_dtype

        kinds = self.frame.dtypes.items()
        found = tuple(str(n) for n, kind in kinds if n not in columns.others and is_numeric_dtype(kind))
        if not found:
            raise DataError(
                f"{self.path}: no column of numbers is left to be a feature; it has {', '.join(map(str, self.frame.columns))}"
            )
        return found

    def numbers(self, name: str, least: float = -np.inf) -> np.ndarray:
        """[rows] float64 of a column. Raises DataError by row and column for what is no finite number, or too small."""
        import pandas as pd

        column = self[name]
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = ~np.isfinite(values)
        if bad.any():
            given = column.iloc[int(np.argmax(bad))]
            shown = "an empty field" if pd.isna(given) else repr(given) if isinstance(given, str) else given
            self._refuse(name, bad, f"every value must be a finite number, got {shown}")
        if (values < least).any():
            at = int(np.argmax(values < least))
            self._refuse(name, values < least, f"values must not be below {least:g}, got {values[at]:g}")
        return values

    def texts(self, name: str) -> np.ndarray:
        """[rows] object array of a column of ids. Raises DataError by row and column for an empty one."""
        column = self[name]
        empty = column.isna().to_numpy() | (column.astype(str).str.strip() == "").to_numpy(bool)
        if empty.any():
            self._refuse(name, empty, "every row needs an id, got an empty field")
        return column.astype(str).to_numpy(object)

    def place(self, row: int) -> str:
        """Where a row stands: the line of a CSV file (its header is line 1), or the row from 1."""
        return f"{self.path}: row {row + 1}" if self.packed else f"{self.path}:{row + 2}"

    def _refuse(self, name: str, bad: np.ndarray, rule: str) -> NoReturn:
        raise DataError(f"{self.place(int(np.argmax(bad)))}: column {name!r}: {rule}")


def read_columns(path: str, columns: Columns) -> FeatureTable:
    """Read a table as lists, in the order in which lists first appear.

    Raises:
        DataError: a column that is not there (with the nearest name); by row and column an empty id, a field that is no
            finite number, a negative label or weight; a document twice in a list.
    """
    ids = [name for name in (columns.list_id, columns.item_id) if name is not None]
    file = ColumnFile(path, ids)
    lists = file.texts(columns.list_id)
    number = {query_id: i for i, query_id in enumerate(dict.fromkeys(lists.tolist()))}
    owners = np.array([number[query_id] for query_id in lists.tolist()])
    order = np.argsort(owners, kind="stable")
    offsets = offsets_of(np.bincount(owners))
    if columns.left_out is not None:
        file[columns.left_out]  # says so where it is not there: it may be misspelt
    names = columns.chosen(file.numeric(columns) if columns.features is None else ())
    features = np.stack([file.numbers(name).astype(np.float32) for name in names], axis=1)
    named = None if columns.item_id is None else as_bytes(file.texts(columns.item_id)[order])
    if named is not None and (twice := duplicate(offsets, named)) is not None:
        row = int(order[twice])
        raise DataError(
            f"{file.place(row)}: column {columns.item_id!r}: {named[twice].decode()} stands in list {lists[row]} twice; every "
            "document of a list needs an id of its own"
        )
    return FeatureTable(
        source=path,
        features=features[order],
        labels=file.numbers(columns.label, least=0)[order],
        offsets=offsets,
        query_ids=list(number),
        lines=order + (1 if file.packed else 2),
        named=named,
        weights=None if columns.weight is None else _of_mean_one(file, columns.weight)[order],
        names=names,
        digest=_digest(file.path),
    )


def _of_mean_one(file: ColumnFile, name: str) -> np.ndarray:
    """[rows] weights scaled so that their mean is 1: they say what counts more, and leave the learning rate alone."""
    weights = file.numbers(name, least=0)
    if not weights.any():
        raise DataError(f"{file.path}: column {name!r}: the weights are all 0")
    return weights / weights.mean()


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    return digest.hexdigest()
