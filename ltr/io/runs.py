"""A run as flat arrays: the scored documents of all queries in trec_eval's order, without Python objects per document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

from ltr.errors import DataError, ShapeError
from ltr.io.names import suggestion
from ltr.io.offsets import offsets_of
from ltr.machine.cores import cores

#: entries of a run that are looked at together: their arrays stay in the processor's cache (all at once: 2.5 x slower)
PART = 2**15
#: threads that work on one run; more would wait for the interpreter's lock
THREADS = 4

T = TypeVar("T")


class Run:
    """Scored documents of queries, in trec_eval's order.

    That order is: score descending, scores compared as float32 (trec_eval keeps them so), then document id descending.
    Document ids are held as UTF-8 bytes in one array, so that seven million take memory, not minutes.

    Args:
        query_ids: distinct query ids.
        offsets: [queries + 1]; the documents of query i are at ``offsets[i]:offsets[i + 1]``.
        doc_ids: [entries] document ids (str, or a NumPy array of bytes), in any order within a query.
        scores: [entries] finite numbers, larger is better.
        name: shown in tables; the file's stem or the run's tag.
        copy: False to let documents and scores that are NumPy arrays be brought into order where they lie, if they may
            be written to.

    Raises:
        ShapeError: when offsets, ids and scores do not fit together.
        DataError: for a query or a document that is listed twice, or a score that is no finite number.

    >>> run = Run(["q"], [0, 3], ["a", "b", "c"], [1.0, 2.0, 2.0])
    >>> run["q"][0].tolist()
    ['c', 'b', 'a']
    """

    def __init__(
        self,
        query_ids: Sequence[str],
        offsets: Sequence[int] | np.ndarray,
        doc_ids: Sequence[str] | np.ndarray,
        scores: Sequence[float] | np.ndarray,
        name: str = "run",
        *,
        copy: bool = True,
    ):
        self.query_ids = list(query_ids)
        kept = np.array if copy else np.asarray
        self.offsets = kept(offsets, np.int64)
        # new memory is dear (7 million entries: a quarter of the whole reading)
        self.scores = _writable(kept(scores, np.float64))
        docs = as_bytes(doc_ids)
        self.doc_bytes = docs.copy() if copy and isinstance(doc_ids, np.ndarray) else _writable(docs)
        self.name = name
        self._index = {query_id: i for i, query_id in enumerate(self.query_ids)}
        self._validate()
        self._order()
        self._refuse_duplicates()

    @classmethod
    def from_dict(cls, scores: Mapping[Any, Mapping[Any, float]], name: str = "run") -> Run:
        """A run from ``{query id: {document id: score}}``; ids that are whole numbers become text.

        Raises:
            DataError: for anything else, and for a score that is no finite number.
        """
        scores = with_text_ids(scores, f"run {name}: a run", "score", "ltr.io.trec.read_run")
        offsets = offsets_of(np.array([*map(len, scores.values())], np.int64))
        docs = [doc_id for listed in scores.values() for doc_id in listed]
        values = [score for listed in scores.values() for score in listed.values()]
        if not all(issubclass(kind, Real) for kind in set(map(type, values))):
            at = next(i for i, score in enumerate(values) if not isinstance(score, Real))
            query_id = list(scores)[int(np.searchsorted(offsets, at, "right")) - 1]
            raise DataError(
                f"run {name}: query {query_id}, document {docs[at]}: a score must be a number, got {values[at]!r}"
            )
        return cls(list(scores), offsets, docs, values, name)

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.query_ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.query_ids)

    def __contains__(self, query_id: object) -> bool:
        return query_id in self._index

    def __getitem__(self, query_id: str) -> tuple[np.ndarray, np.ndarray]:
        """(document ids, scores) of one query, best first; both are the caller's own."""
        if query_id not in self._index:
            raise DataError(f"run {self.name}: no query {query_id!r}; {suggestion(query_id, self.query_ids[:1000])}")
        span = self.span(query_id)
        return as_text(self.doc_bytes[span]), self.scores[span].copy()

    def __repr__(self) -> str:
        return f"Run({self.name!r}: {len(self)} queries, {len(self.scores)} documents)"

    def span(self, query_id: str) -> slice:
        """Where the documents of a query are in ``scores`` and ``doc_ids``."""
        i = self._index[query_id]
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    @property
    def doc_ids(self) -> np.ndarray:
        """[entries] document ids as str, made anew at each access; in a loop over queries use ``run[query_id]``."""
        return as_text(self.doc_bytes)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """``{query id: {document id: score}}``, best first."""
        return {q: dict(zip(self[q][0].tolist(), self[q][1].tolist(), strict=True)) for q in self}

    def top(self, k: int) -> Run:
        """The best ``k`` documents of each query."""
        sizes = np.diff(self.offsets)
        keep = np.arange(len(self.scores)) - np.repeat(self.offsets[:-1], sizes) < k
        offsets = offsets_of(np.minimum(sizes, k))
        return Run(self.query_ids, offsets, self.doc_bytes[keep], self.scores[keep], self.name, copy=False)

    def _validate(self) -> None:
        n = len(self.scores)
        if (
            self.offsets.shape != (len(self.query_ids) + 1,)
            or self.offsets[0] != 0
            or self.offsets[-1] != n
            or (np.diff(self.offsets) < 0).any()
            or self.doc_bytes.shape != (n,)
        ):
            raise ShapeError(
                f"run {self.name}: offsets must rise from 0 to the number of documents, one more than queries; got "
                f"{len(self.query_ids)} queries, offsets of shape {self.offsets.shape}, "
                f"{self.doc_bytes.shape[0]} document ids, {n} scores"
            )
        if len(self._index) < len(self.query_ids):
            seen: set[str] = set()
            twice = next(q for q in self.query_ids if q in seen or seen.add(q))  # type: ignore[func-returns-value]
            raise DataError(f"run {self.name}: query {twice} stands in two blocks; its documents must be together")
        with np.errstate(invalid="ignore", over="ignore"):
            total = self.scores.sum()
        # a finite sum has finite parts, and needs no array of its own
        if not np.isfinite(total) and not np.isfinite(self.scores).all():
            at = int(np.argmin(np.isfinite(self.scores)))
            raise DataError(f"run {self.name}: {self._entry(at)}: score {self.scores[at]} is not a finite number")

    def _order(self) -> None:
        """Bring each query's documents into trec_eval's order, in place."""

        def settle(first: int, last: int) -> None:
            part = slice(int(self.offsets[first]), int(self.offsets[last]))
            order = ranked(self.offsets[first : last + 1] - part.start, self.scores[part], self.doc_bytes[part])
            if order is not None:
                for array in (self.scores, self.doc_bytes):
                    array[part] = array[part][order]

        for _ in over_parts(settle, self.offsets):
            pass

    def _refuse_duplicates(self) -> None:
        at = duplicate(self.offsets, self.doc_bytes)
        if at is not None:
            raise DataError(f"run {self.name}: {self._entry(at)} is listed twice; list it once")

    def _entry(self, at: int) -> str:
        query = self.query_ids[int(np.searchsorted(self.offsets, at, "right")) - 1]
        return f"query {query}, document {as_text(self.doc_bytes[at : at + 1])[0]}"


def with_text_ids(given: Any, what: str, value: str, reader: str) -> dict[str, dict[str, Any]]:
    """``{query id: {document id: value}}`` with ids as text: what was given, where its ids are text already.

    Args:
        given: what a caller gives; ids may be text or whole numbers.
        what: it is, for the error.
        value: what stands for each document, for the error.
        reader: what reads a file of these, for those who give its name.

    Raises:
        DataError: for anything of another form, or an id that stands there as text and as a number.
    """
    form = f"{what} must be {{query id: {{document id: {value}}}}}"
    if not isinstance(given, Mapping):
        raise DataError(f"{form}, got {type(given).__name__} {given!r:.60}; {reader} reads a file")
    for query_id, docs in given.items():
        if not isinstance(docs, Mapping):
            raise DataError(f"{form}, got {docs!r:.60} for query {query_id}")
    if {*map(type, given), *(kind for docs in given.values() for kind in set(map(type, docs)))} <= {str}:
        return given  # type: ignore[return-value]
    queries = _as_text(given, f"{what}: query")
    return {q: _as_text(docs, f"{what}: query {q}: document") for q, docs in queries.items()}


def _as_text(given: Mapping[Any, Any], where: str) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(name, str) and (not isinstance(name, Integral) or isinstance(name, bool)):
            raise DataError(f"{where} ids must be text or whole numbers, got {name!r}")
        if str(name) in texts:
            raise DataError(f"{where} {name} stands there as text and as a number; keep one")
        texts[str(name)] = value
    return texts


def _writable(array: np.ndarray) -> np.ndarray:
    return array if array.flags.writeable else array.copy()


def as_bytes(ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """Ids as an array of UTF-8 bytes, its width a multiple of 8 so that it can be viewed as 64-bit words.

    Raises:
        DataError: an id that ends with the character NUL, which numpy drops: it would be another id.
    """
    if not (isinstance(ids, np.ndarray) and ids.dtype.kind == "S"):
        try:
            texts = list(map(str.encode, ids))
        except TypeError:  # ids of another type
            texts = [str(i).encode() for i in ids]
        ids = np.array(texts, dtype=np.bytes_)
        # bytes that are not NUL, counted in a fifth of the time that looking for NUL in each id takes
        if np.count_nonzero(ids.view(np.uint8)) < sum(map(len, texts)):
            for text in texts:
                if text.endswith(b"\0"):
                    raise DataError(f"an id must not hold the character NUL, got {text.decode()!r:.90}")
    width = max(8, -(-ids.dtype.itemsize // 8) * 8)
    return np.ascontiguousarray(ids.astype(f"S{width}", copy=False))


def as_text(ids: np.ndarray) -> np.ndarray:
    """An array of UTF-8 bytes as an object array of str."""
    text = np.empty(len(ids), object)
    text[:] = [i.decode() for i in ids.tolist()]
    return text


def ranked(offsets: np.ndarray, scores: np.ndarray, docs: np.ndarray) -> np.ndarray | None:
    """The permutation into trec_eval's order within each query, or None where all are in it already."""
    with np.errstate(over="ignore"):  # beyond float32 is infinite for trec_eval too: such scores tie
        rounded = scores.astype(np.float32)
    query = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    same = query[1:] == query[:-1]
    order = None
    if (same & (rounded[1:] > rounded[:-1])).any():
        order = np.lexsort((-rounded, query))
        rounded = rounded[order]
    ties = same & (rounded[1:] == rounded[:-1])
    if not ties.any():
        return order
    group = np.cumsum(np.concatenate([[True], ~ties]))
    tied = np.flatnonzero(np.concatenate([ties, [False]]) | np.concatenate([[False], ties]))
    names = docs[tied] if order is None else docs[order[tied]]
    # sorted by group falling and document rising, then reversed: group rising, document falling
    within = np.lexsort((names, -group[tied]))[::-1]
    if (within == np.arange(len(within))).all():
        return order
    order = np.arange(len(scores)) if order is None else order
    order[tied] = order[tied[within]]
    return order


def keys(docs: np.ndarray, query: np.ndarray, seed: int = 0) -> np.ndarray:
    """64-bit hashes of (query number, document id): equal pairs have equal keys, others hardly ever.

    Args:
        docs: [entries] bytes from ``as_bytes``.
        query: [entries] number of each entry's query.
        seed: another one gives other keys, for the case that two pairs share one.
    """
    # not reshape(…, -1): that fails where there are no documents
    words = docs.view(np.uint64).reshape(len(docs), docs.dtype.itemsize // 8)
    key = (query.astype(np.uint64) + np.uint64(seed + 1)) * np.uint64(0x9E3779B97F4A7C15)
    for column in words.T:
        if column.any():  # an id's zero padding must not count: arrays of different width shall agree
            key = np.where(column == 0, key, _mixed(key ^ column))
    return key


def _mixed(key: np.ndarray) -> np.ndarray:
    key = key * np.uint64(0xBF58476D1CE4E5B9)
    key ^= key >> np.uint64(29)
    key *= np.uint64(0x94D049BB133111EB)
    key ^= key >> np.uint64(32)
    return key


def duplicate(offsets: np.ndarray, docs: np.ndarray) -> int | None:
    """An entry whose document stands in its query twice, or None."""

    def repeated(first: int, last: int) -> int | None:
        begin, end = offsets[first], offsets[last]
        query = np.repeat(np.arange(first, last), np.diff(offsets[first : last + 1]))
        at = _repeated(docs[begin:end], query)
        return None if at is None else int(begin) + at

    return next((at for at in over_parts(repeated, offsets) if at is not None), None)


def over_parts(function: Callable[[int, int], T], offsets: np.ndarray) -> Iterator[T]:
    """``function(first, last)`` of each part of the lists, in order, computed by some threads.

    NumPy lets other threads run while it computes; a part is so small that its arrays stay in the processor's cache.
    """
    spans = list(parts(offsets, PART))
    if len(spans) < 2:
        yield from (function(*span) for span in spans)
        return
    with ThreadPoolExecutor(min(cores(), THREADS), "ltr-run") as pool:
        yield from pool.map(function, *zip(*spans, strict=True))


def parts(offsets: np.ndarray, entries: int) -> Iterator[tuple[int, int]]:
    """(first, behind the last) lists of neighbours that hold about so many entries together.

    >>> list(parts(np.array([0, 4, 5, 6, 9]), entries=5))
    [(0, 2), (2, 4)]
    """
    first = 0
    while first < len(offsets) - 1:
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + entries, "right")) - 1)
        yield first, last
        first = last


def _twice(key: np.ndarray) -> np.ndarray:
    """The keys that occur more than once.

    Every key writes its number to the slot that its first bits name, in a table with 16 slots a key or more. Only where
    another number stands afterwards can keys be equal: those few are sorted (sorting all of them: 4 x slower).
    """
    bits = (16 * len(key)).bit_length()
    slot = (key >> np.uint64(64 - bits)).view(np.int64)
    number = np.arange(len(key), dtype=np.int32)
    table = np.empty(1 << bits, np.int32)  # only slots that were written to are read
    table[slot] = number
    lost = np.flatnonzero(table[slot] != number)
    few = np.sort(key[np.union1d(lost, table[slot[lost]])])
    return few[1:][few[1:] == few[:-1]]


def _repeated(docs: np.ndarray, query: np.ndarray) -> int | None:
    """An entry whose (query, document) stood before, or None."""
    key = keys(docs, query)
    shared = _twice(key)
    if not len(shared):
        return None
    seen: set[tuple[int, bytes]] = set()
    for at in np.flatnonzero(np.isin(key, shared)).tolist():
        pair = (int(query[at]), bytes(docs[at]))
        if pair in seen:
            return at
        seen.add(pair)
    return None
