"""Ids without a Python object each: UTF-8 bytes in one array, numbered and looked up as integers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from ltr.io.runs import as_bytes

#: ids that become Python objects at a time
CHUNK = 2**16


class Ids(Sequence[str]):
    """A sequence of ids that holds 8 bytes and up for each, where a list of str holds 60.

    Args:
        raw: [ids] UTF-8 bytes, as ``ltr.io.runs.as_bytes`` makes them; it may be mapped from a file.

    >>> ids = Ids.of(["d1", "d7"])
    >>> ids[1], list(ids[:1]), ids == ["d1", "d7"]
    ('d7', ['d1'], True)
    """

    def __init__(self, raw: np.ndarray):
        self.raw = raw

    @classmethod
    def of(cls, ids: Sequence[str]) -> Ids:
        """From any sequence of ids."""
        if isinstance(ids, Ids):
            return ids
        parts = [as_bytes(ids[at : at + CHUNK]) for at in range(0, len(ids), CHUNK)]
        return cls(np.concatenate(parts) if parts else as_bytes([]))

    def __len__(self) -> int:
        return len(self.raw)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice | np.ndarray) -> Ids: ...
    def __getitem__(self, place: Any) -> str | Ids:
        raw = self.raw[place]
        return Ids(raw) if isinstance(raw, np.ndarray) else bytes(raw).decode()

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self.raw), CHUNK):
            yield from map(bytes.decode, self.raw[first : first + CHUNK].tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    def distinct(self) -> Ids:
        """Each id once, in order of first appearance."""
        return self[distinct(self.raw)[0]]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ids({list(self[:3])}{', …' if len(self) > 3 else ''}: {len(self)})"


def distinct(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(first, numbers): ids numbered in order of appearance.

    Args:
        raw: [entries] bytes from ``as_bytes``.

    Returns:
        first [ids], the entry where each id appears first, rising; numbers [entries] int32, each entry's id.

    >>> first, numbers = distinct(as_bytes(["b", "a", "b"]))
    >>> first.tolist(), numbers.tolist()
    ([0, 1], [0, 1, 0])
    """
    # ids of up to 8 bytes sort as integers, 20 times as fast as strings
    values = raw.view(np.uint64) if raw.dtype.itemsize == 8 else raw
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return first[order], rank[inverse]


def digests(ids: Iterable[str] | Ids) -> np.ndarray:
    """[2, ids] uint64: 128 bits of a hash of each id, by which tables tell ids apart without holding them."""
    if isinstance(ids, Ids):
        encoded: Iterable[bytes] = (
            one for at in range(0, len(ids), CHUNK) for one in ids.raw[at : at + CHUNK].tolist()
        )
    else:
        encoded = (text_id.encode("utf-8", "surrogatepass") for text_id in ids)
    joined = b"".join([hashlib.blake2b(one, digest_size=16).digest() for one in encoded])
    return np.ascontiguousarray(np.frombuffer(joined, "<u8").reshape(-1, 2).T)


def content_of(ids: Sequence[str]) -> str:
    """Hexadecimal digits that tell sequences of ids apart."""
    raw = Ids.of(ids).raw
    digest = hashlib.blake2b(f"{raw.dtype} {len(raw)}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(raw).data)
    return digest.hexdigest()
