"""Tables with named columns (CSV, Parquet) as lists of documents with features, with errors by row and column."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ltr.data.features.rounding import coarse, coarse_note
from ltr.data.features.table import FeatureTable
from ltr.data.features.tables import read_csv, read_parquet
from ltr.errors import DataError
from ltr.io.ids import LONGEST_ID, fault, query_fault, shown
from ltr.io.names import suggestion
from ltr.io.offsets import offsets_of
from ltr.io.parsing.run_lines import refuse_heavy
from ltr.io.runs import as_bytes, duplicate
from ltr.io.sources import Source

LARGEST = float(np.finfo(np.float32).max)
#: how pandas names an index that it saved, and those of an index without a name
INDEX = re.compile(r"Unnamed: \d+(\.\d+)*|__index_level_\d+__|index|level_\d+")
#: numbers with marks between thousands or a comma for the point
MARKED = re.compile(r"\s*[+-]?(\d{1,3}([,'. \u00a0\u202f]\d{3})+([.,]\d+)?|\d+,\d+)\s*")
#: seconds since 1970 from 2001 to 2099, and how many of a unit make one
EPOCH = (9.8e8, 4.1e9)
UNITS = {"seconds": 1, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}

#: what a field of Parquet may hold that is no one value
NESTED = (list, dict, tuple, np.ndarray)

log = logging.getLogger("ltr")


@dataclass(frozen=True)
class Columns:
    """Which column of a table is what.

    Attributes:
        list_id: rows of equal value make a list, wherever they stand.
        item_id: names the document; None for ``LIST-CODE-LINE``.
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
    """One CSV or Parquet file, packed or not, and where its rows stand.

    Args:
        path: the file; what ends in ``.parquet`` is Parquet, all else CSV with a header.
        ids: columns that are read as text, so that ``007`` stays.
        needed: columns that must be there.

    Raises:
        DataError: no such file, or one that cannot be read, or without rows; see ``ltr.data.features.tables``.
    """

    def __init__(self, path: str | Source, ids: Sequence[str], needed: Sequence[str] = ()):
        self.source = Source.of(path, "data")
        self.packed = self.source.stem.endswith((".parquet", ".pq"))
        if self.packed:
            self.frame = read_parquet(self.source)
            self.lines = np.arange(1, len(self.frame) + 1)
        else:
            self.frame, self.lines = read_csv(self.source, ids, [*ids, *needed])
        if not len(self.frame):
            raise DataError(f"{self.source}: the table holds no row")

    def __getitem__(self, name: str) -> Any:
        """A column. Raises DataError where it is not there."""
        if name not in self.frame.columns:
            raise DataError(f"{self.source}: no column {name!r}; {suggestion(name, self.frame.columns)}")
        return self.frame[name]

    def numeric(self, columns: Columns) -> tuple[tuple[str, ...], dict[str, str]]:
        """(the columns of numbers that are nothing else, column -> why it is none). Raises DataError where there is none.

        A column counts as one of numbers if most of its fields are: what is wrong with the others is for ``numbers``
        to say, by row.
        """
        why = {name: self._no_numbers(name) for name in self.frame.columns if name not in columns.others}
        names = tuple(name for name, reason in why.items() if not reason)
        if not names:
            raise DataError(
                f"{self.source}: no column of numbers is left to be a feature; it has {', '.join(self.frame.columns)}"
            )
        return names, {name: reason for name, reason in why.items() if reason}

    def _no_numbers(self, name: str) -> str:
        """Why a column is no feature; empty for one that is."""
        from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype, is_timedelta64_dtype

        column = self.frame[name]
        if INDEX.fullmatch(name):
            return "an index that was saved"
        if is_datetime64_any_dtype(column.dtype):
            return "points in time"
        if column.isna().all():
            return "empty"
        if is_numeric_dtype(column.dtype) or is_timedelta64_dtype(column.dtype):
            return ""
        given = column.astype(object)[column.notna()]
        if isinstance(given.iloc[0], NESTED):
            return "lists or mappings"
        if isinstance(given.iloc[0], bytes):
            return "bytes, which a float16 of Parquet is too: write float32"
        numbers = np.isfinite(as_floats(given))
        marked = given.astype(str).map(lambda text: MARKED.fullmatch(text) is not None).to_numpy(bool)
        return f"text such as {shown(str(given.iloc[0]))}" if (numbers | marked).mean() <= 0.5 else ""

    def numbers(self, name: str, least: float = -np.inf) -> np.ndarray:
        """[rows] float64 of a column, seconds for durations.

        Raises:
            DataError: by row and column for what is no finite number, or too small; for points in time.
        """
        import pandas as pd
        from pandas.api.types import is_datetime64_any_dtype

        column = self[name]
        if is_datetime64_any_dtype(column.dtype):
            raise DataError(
                f"{self.place(0)}: column {name!r}: points in time such as {column.iloc[0]} are no amount; take the time "
                "between two of them, as seconds or as a duration"
            )
        values = as_floats(column)
        bad = ~np.isfinite(values)
        if bad.any():
            given = column.iloc[int(np.argmax(bad))]
            said = "an empty field" if pd.isna(given) else shown(given) if isinstance(given, str) else str(given)
            if isinstance(given, str) and MARKED.fullmatch(given):
                said += "; write it with a decimal point and no marks between thousands"
            self._refuse(name, bad, f"every value must be a finite number, got {said}")
        if (values < least).any():
            at = int(np.argmax(values < least))
            self._refuse(name, values < least, f"values must not be below {least:g}, got {values[at]:g}")
        return values

    def texts(self, name: str, fault_of: Callable[[str], str] = fault) -> np.ndarray:
        """[rows] object array of a column of ids.

        Raises:
            DataError: by row and column for an empty one, or one that no run file could hold, as ``fault_of`` says.
        """
        import pandas as pd

        column = self[name]
        missing = column.isna().to_numpy(bool)
        if missing.any():
            self._refuse(name, missing, "every row needs an id, got an empty field")
        if isinstance(column.dtype, pd.CategoricalDtype):  # of whatever type its values are
            column = column.astype(column.dtype.categories.dtype)
        if column.dtype.kind == "f":  # whole numbers among which one was missing, to pandas
            numbers = column.to_numpy()
            digits = np.finfo(numbers.dtype).nmant + 1  # whole numbers beyond share their float with others
            wrong = (numbers != np.floor(numbers)) | (np.abs(numbers) >= 2.0**digits)
            if wrong.any():
                got = numbers[int(np.argmax(wrong))]
                rule = f"an id of type {numbers.dtype} must be a whole number below 2^{digits}, got {got:.17g}; write ids as text"
                self._refuse(name, wrong, rule)
            column = column.astype(np.int64)
        values = column.to_numpy(object).tolist()
        if values and isinstance(values[0], NESTED):
            self._refuse(name, ~missing, f"an id must be one word, got {values[0]}")
        texts = [value if isinstance(value, str) else _text(value) for value in values]
        distinct = list(dict.fromkeys(texts))
        for text in () if _good(distinct) else distinct:
            if reason := _no_id(text, fault_of):
                self._refuse(name, np.array([other == text for other in texts]), reason)
        ids = np.empty(len(texts), object)
        ids[:] = texts
        return ids

    def place(self, row: int) -> str:
        """Where a row stands: the line of a CSV file, or the row from 1."""
        return f"{self.source}: row {row + 1}" if self.packed else f"{self.source}:{self.lines[row]}"

    def _refuse(self, name: str, bad: np.ndarray, rule: str) -> NoReturn:
        raise DataError(f"{self.place(int(np.argmax(bad)))}: column {name!r}: {rule}")


def as_floats(column: Any) -> np.ndarray:
    """[rows] float64 of a pandas column, seconds for durations; nan for what is no number, points in time among it."""
    import pandas as pd
    from pandas.api.types import is_datetime64_any_dtype, is_timedelta64_dtype

    if is_timedelta64_dtype(column.dtype):
        return _seconds(column)
    if is_datetime64_any_dtype(column.dtype):
        return np.full(len(column), np.nan)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if column.dtype == object and column.map(lambda value: isinstance(value, NESTED)).any():
        return np.full(len(column), np.nan)
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if column.dtype == object:  # a False between numbers is none
        flags = column.map(lambda value: isinstance(value, bool)).to_numpy(bool)
        values = values if flags[column.notna()].all() else np.where(flags, np.nan, values)
    return values


def _seconds(column: Any) -> np.ndarray:
    """[rows] float64 seconds of durations, nan for none."""
    values = column.to_numpy()
    unit, step = np.datetime_data(values.dtype)
    whole = values.astype(np.int64) * step
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    return np.where(np.isnat(values), np.nan, whole / per_second)


def _text(value: Any) -> str:
    """An id as text; Parquet's strings may come as bytes, without a mark that they are text."""
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def _good(ids: Sequence[str]) -> bool:
    """Whether all ids are short words of ASCII, told at once; others may be good too."""
    joined = "\n" + "\n".join(ids)
    plain = joined.isascii() and "\0" not in joined and "\n#" not in joined
    return plain and joined.split() == list(ids) and max(map(len, ids)) <= LONGEST_ID


def _no_id(text: str, fault_of: Callable[[str], str]) -> str:
    """What every row needs and this text is not; empty for a good id."""
    if not text.strip():
        return "every row needs an id, got an empty field"
    if any("\udc80" <= letter <= "\udcff" for letter in text):
        return "ids must be UTF-8; write them as text"
    reason = fault_of(text)
    return f"an id {reason}, got {shown(text)}" if reason else ""


def read_columns(path: str | Source, columns: Columns) -> FeatureTable:
    """Read a table as lists, in the order in which lists first appear.

    Raises:
        DataError: a column that is not there (with the nearest name); by row and column an empty id, a field that is no
            finite number, a negative label or weight; a document twice in a list.
    """
    ids = [name for name in (columns.list_id, columns.item_id) if name is not None]
    file = ColumnFile(path, ids, [columns.label])
    lists = file.texts(columns.list_id, query_fault)
    number = {query_id: i for i, query_id in enumerate(dict.fromkeys(lists.tolist()))}
    owners = np.array([number[query_id] for query_id in lists.tolist()])
    order = np.argsort(owners, kind="stable")
    offsets = offsets_of(np.bincount(owners))
    if columns.left_out is not None:
        file[columns.left_out]  # says so where it is not there: it may be misspelt
    labels = file.numbers(columns.label, least=0)
    if (labels > LARGEST).any():
        file._refuse(columns.label, labels > LARGEST, f"an amount must be within float32, got {labels.max():g}")
    numeric, why = file.numeric(columns) if columns.features is None else ((), {})
    names = columns.chosen(numeric)
    features, notes = features_of(file, names)
    if why:
        told = ", ".join(f"{name} ({reason})" for name, reason in why.items() if name not in names)
        notes = (*([f"no features are {told}"] if told else []), *notes)
    for note in notes:
        log.warning("%s: %s", file.source, note)
    named = None if columns.item_id is None else _named(file, columns.item_id, order)
    if named is not None and (twice := duplicate(offsets, named)) is not None:
        row = int(order[twice])
        raise DataError(
            f"{file.place(row)}: column {columns.item_id!r}: {named[twice].decode()} stands in list {lists[row]} twice; every "
            "document of a list needs an id of its own"
        )
    return FeatureTable(
        source=file.source.name,
        features=features[order],
        labels=labels[order],
        offsets=offsets,
        query_ids=list(number),
        lines=file.lines[order],
        named=named,
        weights=None if columns.weight is None else _of_mean_one(file, columns.weight)[order],
        names=names,
        digest=file.source.digest(),
        notes=notes,
    )


def features_of(file: ColumnFile, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """([rows, features] float32, what is to be said of them)."""
    features = np.empty((len(file.lines), len(names)), np.float32)
    notes, clipped = [], 0
    for i, name in enumerate(names):
        values = file.numbers(name)
        beyond = np.abs(values) > LARGEST
        clipped += int(beyond.sum())
        features[:, i] = values.clip(-LARGEST, LARGEST) if beyond.any() else values
        if unit := _since_1970(values):
            notes.append(f"the feature {name} looks like {unit} since 1970, which new documents go beyond; is it one?")
        if coarse(np.zeros(len(values), np.int64), values):
            notes.append(coarse_note(name))
    if clipped:
        notes.append(f"{clipped} values beyond float32 are kept as {LARGEST:g}")
    return features, tuple(notes)


def _since_1970(values: np.ndarray) -> str:
    """The unit in which all values would be times from 2001 to 2099; empty where there is none."""
    low, high = values.min(), values.max()
    fits = (unit for unit, many in UNITS.items() if EPOCH[0] * many <= low < high <= EPOCH[1] * many)
    return next(fits, "")


def _named(file: ColumnFile, name: str, order: np.ndarray) -> np.ndarray:
    """[rows] the ids of documents as bytes, in another order."""
    ids = [text.encode() for text in file.texts(name).tolist()]
    lengths = list(map(len, ids))
    longest = int(np.argmax(lengths))
    refuse_heavy(len(ids), sum(lengths), lengths[longest], f"{file.place(longest)}: column {name!r}: ")
    return as_bytes(np.array(ids, np.bytes_)[order])


def _of_mean_one(file: ColumnFile, name: str) -> np.ndarray:
    """[rows] weights scaled so that their mean is 1: they say what counts more, and leave the learning rate alone."""
    weights = file.numbers(name, least=0)
    if not weights.any():
        raise DataError(f"{file.source}: column {name!r}: the weights are all 0")
    return weights / weights.mean()
