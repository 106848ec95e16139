"""Vectors of a collection on disk: mapped arrays, ids, and a manifest that says what made them.

A folder holds ``manifest.json`` and, for each of its n shards, ``ids-0001-of-0004.npy`` (bytes) and
``vectors-0001-of-0004.npy``, or what ``ltr.search.sparse_index`` writes of sparse vectors. Arrays are plain ``.npy``, which
``numpy.load(..., mmap_mode="r")`` opens anywhere; nothing is pickled. A shard in the making is a ``.part`` that grows
block by block, and becomes the shard by a rename.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ltr.data.collections.ids import Ids
from ltr.errors import ConfigError, DataError
from ltr.io.disk import disk_errors
from ltr.io.files import clear_parts, parts_of, replacing
from ltr.io.locks import only_writer
from ltr.io.runs import as_bytes
from ltr.search import exact
from ltr.search.best import Best

#: a change of the layout gets a new number
FORMAT = 1
MANIFEST = "manifest.json"
DTYPES = ("float32", "float16")
#: similarity of vectors of which only what is not 0 is kept; scores are their products
SPARSE = "sparse"


@dataclass(frozen=True)
class Facts:
    """What vectors depend on; an index of other facts is not gone on with, and not searched.

    Attributes:
        weights: digits of the encoder's weights, tokenizer and settings; never its name.
        texts: digits of the collection's documents (or queries), by content.
        rows: how many there are.
        width: numbers of a vector.
        similarity: ``cos`` (vectors have length 1), ``dot``, or ``sparse``: products of weights that mostly are 0.
        dtype: of the numbers on disk.
        precision: in which they were computed.
        shards: number of parts.
    """

    weights: str
    texts: str
    rows: int
    width: int
    similarity: str
    dtype: str
    precision: str
    shards: int = 1

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(f"index: dtype must be {' or '.join(DTYPES)}, got {self.dtype!r}")

    def bounds(self, shard: int) -> tuple[int, int]:
        """(first row, behind the last) of a shard, counted from 0."""
        return self.rows * shard // self.shards, self.rows * (shard + 1) // self.shards

    def file(self, kind: str, shard: int) -> str:
        """The name of a shard's file."""
        return f"{kind}-{shard + 1:04d}-of-{self.shards:04d}.npy"


#: facts in words, for messages
WORDS = {
    "weights": "other weights (or another tokenizer, prompt, pooling or length)",
    "texts": "other documents: the collection changed, or is another one",
    "rows": "another number of documents",
    "width": "another width of vectors",
    "similarity": "another similarity",
    "dtype": "another --dtype",
    "precision": "another --precision",
    "shards": "another number of shards",
}


def begin(folder: str | os.PathLike, facts: Facts, about: Mapping[str, str]) -> None:
    """Write the manifest of an index, or see that the one that is there says the same.

    Args:
        folder: of the index.
        facts: what its vectors depend on.
        about: what else a reader may want to know, such as names.

    Raises:
        DataError: the folder holds an index of other facts, or something else.
    """
    folder = Path(folder)
    clear_parts(folder / MANIFEST)
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    making = {part.name for part in parts_of(folder / MANIFEST)}  # other shards begin at the same time
    if held - making and not (folder / MANIFEST).exists():
        raise DataError(f"index: {folder} holds other files and no {MANIFEST}; name a new folder")
    if (folder / MANIFEST).exists():
        refuse_other(folder, read_facts(folder), facts, tuple(WORDS))
        return
    with replacing(folder / MANIFEST) as file:
        json.dump({"format": FORMAT, **asdict(facts), "about": dict(about)}, file, indent=1)


def read_facts(folder: Path) -> Facts:
    """What the manifest of an index says. Raises DataError where there is none that can be read."""
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"index: {folder} holds no {MANIFEST}; ltr encode writes an index") from None
    except ValueError as error:
        raise DataError(f"index: {path} is damaged ({error}); encode anew") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        got = found.get("format") if isinstance(found, dict) else found
        raise DataError(f"index: {path} must have format {FORMAT}, got {got!r:.40}; encode anew with this ltr")
    try:
        return Facts(**{name: found[name] for name in Facts.__dataclass_fields__})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"index: {path} is damaged ({type(error).__name__}: {error}); encode anew") from error


def refuse_other(folder: Path, found: Facts, wanted: Facts, names: Sequence[str]) -> None:
    """Raise DataError where an index has not the facts that are wanted."""
    for name in names:
        own, other = getattr(found, name), getattr(wanted, name)
        if own != other:
            raise DataError(
                f"index: {folder} was made from {WORDS[name]} ({name} {own} there, {other} here); encode into a new folder, "
                "or give what it was made from"
            )


class Part:
    """A shard in the making. Use it as a context: one process at a time writes it.

    One's own names its ``kinds`` of files and defines ``done``, ``append`` and ``finish``.

    Args:
        folder: of the index.
        facts: what its vectors depend on.
        shard: which, from 0.
    """

    #: kinds of files of a shard, beside its ids, in the order in which they take their places
    kinds: ClassVar[tuple[str, ...]]

    def __init__(self, folder: str | os.PathLike, facts: Facts, shard: int):
        self.folder, self.facts, self.shard = Path(folder), facts, shard
        self.path = self.place(self.kinds[-1])
        first, last = facts.bounds(shard)
        self.rows = last - first

    def __enter__(self) -> Part:
        busy = f"index: another process is writing {self.path}; wait for it, or take another shard"
        self._lock = only_writer(self.path, f"{self.path}.lock", busy)
        self._lock.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)

    def place(self, kind: str) -> Path:
        """Where a finished file of the shard stands."""
        return self.folder / self.facts.file(kind, self.shard)

    def part(self, kind: str) -> Path:
        """Where it grows."""
        return self.place(kind).with_suffix(".npy.part")

    @property
    def complete(self) -> bool:
        """Whether the shard is there."""
        return all(self.place(kind).exists() for kind in ("ids", *self.kinds))

    def done(self, block: int) -> int:
        """Rows that are on the disk already: whole blocks; what an interruption left of one is cut off."""
        raise NotImplementedError(f"{type(self).__name__} must define done")

    def append(self, vectors: Any) -> None:
        """Add rows, and see to it that they reach the disk."""
        raise NotImplementedError(f"{type(self).__name__} must define append")

    def finish(self, ids: Sequence[np.ndarray]) -> None:
        """Write the ids, given as arrays of bytes one after the other, and put all files in their places."""
        with replacing(self.place("ids"), "wb") as file:
            np.save(file, joined(ids), allow_pickle=False)
        with disk_errors(self.path):
            for kind in self.kinds:
                os.replace(self.part(kind), self.place(kind))


class VectorPart(Part):
    """A shard of vectors [rows, width] in the making."""

    kinds = ("vectors",)

    @property
    def _row(self) -> int:
        """Bytes of a row."""
        return self.facts.width * np.dtype(self.facts.dtype).itemsize

    def done(self, block: int) -> int:
        part, head = self.part("vectors"), head_of(self.facts.dtype, (self.rows, self.facts.width))
        with disk_errors(self.path):
            if not part.exists():
                part.write_bytes(head)
                return 0
            with open(part, "rb") as file:
                sound = file.read(len(head)) == head
            if not sound:  # killed within the first bytes
                part.write_bytes(head)
                return 0
            rows = whole((part.stat().st_size - len(head)) // self._row, self.rows, block)
            os.truncate(part, len(head) + rows * self._row)
        return rows

    def append(self, vectors: np.ndarray) -> None:
        with disk_errors(self.path):
            appended(self.part("vectors"), kept_as(self.facts.dtype, vectors))


def head_of(dtype: str | np.dtype, shape: tuple[int, ...]) -> bytes:
    """The first bytes of an .npy file; there are as many, however long its first axis is."""
    head = io.BytesIO()
    told = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, told)
    return head.getvalue()


def whole(rows: int, wanted: int, block: int) -> int:
    """How many of some rows stand in whole blocks, where there are ``wanted`` in all.

    >>> whole(7, 10, 3), whole(10, 10, 3)
    (6, 10)
    """
    return wanted if rows >= wanted else rows // block * block


def kept_as(dtype: str | np.dtype, values: np.ndarray) -> np.ndarray:
    """Numbers in the type that is kept. Raises DataError where they are too large for it."""
    with np.errstate(over="ignore"):
        kept = np.ascontiguousarray(values, dtype)
    if not np.isfinite(kept).all():
        raise DataError(
            f"index: vectors have numbers up to {np.abs(values).max():g}, and {np.dtype(dtype).name} ends at "
            f"{np.finfo(dtype).max:g}; encode with --dtype float32, or a model whose vectors have length 1"
        )
    return kept


def appended(path: Path, values: np.ndarray) -> None:
    """Add an array to the end of a file, and see to it that it reaches the disk."""
    with open(path, "ab") as file:
        file.write(values.tobytes())
        file.flush()
        os.fsync(file.fileno())


class Index:
    """A collection's vectors, opened to be searched.

    One's own names its ``kinds`` of files and defines ``search``.

    Args:
        folder: that ``ltr encode`` wrote.

    Raises:
        DataError: no index, shards that are missing or damaged.

    Attributes:
        folder: where it lies.
        facts: what it was made from.
    """

    kinds: ClassVar[tuple[str, ...]]

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.facts = read_facts(self.folder)
        numbers = range(self.facts.shards)
        missing = [
            i + 1 for i in numbers if not all((self.folder / self.facts.file(kind, i)).exists() for kind in self.kinds)
        ]
        if missing:
            those = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
            raise DataError(
                f"index: {self.folder} lacks {len(missing)} of its {len(numbers)} shards ({those}); finish them with ltr "
                f"encode --shard {missing[0]}/{len(numbers)}"
            )

    def __len__(self) -> int:
        """Number of vectors."""
        return self.facts.rows

    def search(self, queries: Any, k: int, device: str | torch.device = "cpu") -> Best:
        """The ``k`` rows with the largest inner products, exactly; of equal scores by document id, descending.

        Args:
            queries: vectors, as the encoder of the index gives them.
            k: documents per query, at least 1.
            device: where what can be computed there is.
        """
        raise NotImplementedError(f"{type(self).__name__} must define search")

    @cached_property
    def ids(self) -> Ids:
        """Row -> id."""
        return Ids(joined([self._array("ids", i) for i in range(self.facts.shards)]))

    @cached_property
    def place(self) -> np.ndarray:
        """[rows] the place of each in the order of ties: by document id, descending."""
        place = np.empty(len(self), np.int64)
        place[np.argsort(self.ids.raw, kind="stable")[::-1]] = np.arange(len(self))
        return place

    def _array(self, kind: str, shard: int, more: tuple[int, ...] = (), rows: int | None = None) -> np.ndarray:
        """A file of a shard, mapped: [rows, *more], or one value for each row of the shard."""
        path = self.folder / self.facts.file(kind, shard)
        first, last = self.facts.bounds(shard)
        wanted = (last - first if rows is None else rows, *more)
        try:
            array = np.load(path, mmap_mode="r" if wanted[0] else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"index: {path} is missing or damaged ({error}); encode this shard anew") from error
        if array.shape != wanted:
            raise DataError(f"index: {path} must be {list(wanted)}, is {list(array.shape)}; encode this shard anew")
        return array


class VectorIndex(Index):
    """Vectors of a bi-encoder.

    Attributes:
        shards: [rows, width] arrays mapped from files.
    """

    kinds = ("vectors",)

    def __init__(self, folder: str | os.PathLike):
        super().__init__(folder)
        self.shards = [self._array("vectors", i, (self.facts.width,)) for i in range(self.facts.shards)]

    def search(self, queries: np.ndarray, k: int, device: str | torch.device = "cpu") -> Best:
        return exact.search(queries, self.shards, k, self.place, device)


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of ids as bytes, one after the other, as wide as the longest id needs."""
    width = max((part.dtype.itemsize for part in parts), default=8)
    return as_bytes(np.concatenate([np.zeros(0, f"S{width}"), *(part.astype(f"S{width}") for part in parts)]))
