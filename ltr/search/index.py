"""Vectors of a collection on disk: mapped arrays, ids, and a manifest that says what made them.

A folder holds ``manifest.json`` and, for each of its n shards, ``ids-0001-of-0004.npy`` (bytes) and
``vectors-0001-of-0004.npy``. Arrays are plain ``.npy``, which ``numpy.load(..., mmap_mode="r")`` opens anywhere; nothing
is pickled. A shard in the making is a ``.part`` that grows block by block, and becomes the shard by a rename.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ltr.data.collections.ids import Ids
from ltr.errors import ConfigError, DataError
from ltr.io.disk import disk_errors
from ltr.io.files import replacing
from ltr.io.locks import only_writer
from ltr.io.runs import as_bytes

#: a change of the layout gets a new number
FORMAT = 1
MANIFEST = "manifest.json"
DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class Facts:
    """What vectors depend on; an index of other facts is not gone on with, and not searched.

    Attributes:
        weights: digits of the encoder's weights, tokenizer and settings; never its name.
        texts: digits of the collection's documents (or queries), by content.
        rows: how many there are.
        width: numbers of a vector.
        similarity: ``cos`` (vectors have length 1) or ``dot``.
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
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
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

    Args:
        folder: of the index.
        facts: what its vectors depend on.
        shard: which, from 0.
    """

    def __init__(self, folder: str | os.PathLike, facts: Facts, shard: int):
        self.folder, self.facts, self.shard = Path(folder), facts, shard
        self.path = self.folder / facts.file("vectors", shard)
        self.part = self.path.with_suffix(".npy.part")
        first, last = facts.bounds(shard)
        self.rows = last - first
        self._row = facts.width * np.dtype(facts.dtype).itemsize

    def __enter__(self) -> Part:
        busy = f"index: another process is writing {self.path}; wait for it, or take another shard"
        self._lock = only_writer(self.path, f"{self.path}.lock", busy)
        self._lock.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)

    @property
    def complete(self) -> bool:
        """Whether the shard is there."""
        return self.path.exists() and (self.folder / self.facts.file("ids", self.shard)).exists()

    def done(self, block: int) -> int:
        """Rows that are on the disk already: whole blocks; what an interruption left of one is cut off."""
        with disk_errors(self.path):
            if not self.part.exists():
                with open(self.part, "wb") as file:
                    file.write(self._head())
                return 0
            head = self._head()
            with open(self.part, "rb") as file:
                sound = file.read(len(head)) == head
            if not sound:  # killed within the first bytes
                self.part.write_bytes(head)
                return 0
            rows = (self.part.stat().st_size - len(head)) // self._row
            rows = min(rows, self.rows)
            rows = rows if rows == self.rows else rows // block * block
            os.truncate(self.part, len(head) + rows * self._row)
        return rows

    def append(self, vectors: np.ndarray) -> None:
        """Add rows, and see to it that they reach the disk."""
        with disk_errors(self.path), open(self.part, "ab") as file:
            file.write(np.ascontiguousarray(vectors, self.facts.dtype).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def finish(self, ids: Sequence[np.ndarray]) -> None:
        """Write the ids, given as arrays of bytes one after the other, and put the vectors in their place."""
        with replacing(self.folder / self.facts.file("ids", self.shard), "wb") as file:
            np.save(file, joined(ids), allow_pickle=False)
        with disk_errors(self.path):
            os.replace(self.part, self.path)

    def _head(self) -> bytes:
        """The first bytes of an .npy file of all rows."""
        import io

        head = io.BytesIO()
        shape = {
            "descr": np.dtype(self.facts.dtype).str,
            "fortran_order": False,
            "shape": (self.rows, self.facts.width),
        }
        np.lib.format.write_array_header_1_0(head, shape)
        return head.getvalue()


class VectorIndex:
    """The vectors of a collection, opened to be searched.

    Args:
        folder: that ``ltr encode`` wrote.

    Raises:
        DataError: no index, shards that are missing or damaged.

    Attributes:
        folder: where it lies.
        facts: what it was made from.
        shards: [rows, width] arrays mapped from files.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.facts = read_facts(self.folder)
        numbers = range(self.facts.shards)
        missing = [i + 1 for i in numbers if not (self.folder / self.facts.file("vectors", i)).exists()]
        if missing:
            those = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
            raise DataError(
                f"index: {self.folder} lacks {len(missing)} of its {len(numbers)} shards ({those}); finish them with ltr "
                f"encode --shard {missing[0]}/{len(numbers)}"
            )
        self.shards = [self._array("vectors", i) for i in numbers]

    def __len__(self) -> int:
        """Number of vectors."""
        return self.facts.rows

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

    def _array(self, kind: str, shard: int) -> np.ndarray:
        path = self.folder / self.facts.file(kind, shard)
        first, last = self.facts.bounds(shard)
        wanted = (last - first, self.facts.width)[: 2 if kind == "vectors" else 1]
        try:
            array = np.load(path, mmap_mode="r" if last > first else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"index: {path} is missing or damaged ({error}); encode this shard anew") from error
        if array.shape != wanted:
            raise DataError(f"index: {path} must be {list(wanted)}, is {list(array.shape)}; encode this shard anew")
        return array


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of ids as bytes, one after the other, as wide as the longest id needs."""
    width = max((part.dtype.itemsize for part in parts), default=8)
    return as_bytes(np.concatenate([np.zeros(0, f"S{width}"), *(part.astype(f"S{width}") for part in parts)]))
