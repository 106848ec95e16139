"""Training lists: which documents of a query stand together in an epoch, drawn reproducibly as integers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ltr.batch import DIRECTIONS, QUERY_TO_DOC
from ltr.data.lists.ragged import Ragged
from ltr.errors import ConfigError
from ltr.io.offsets import offsets_of, spans

#: lists drawn at a time: bounds the memory of a draw, which then stays in the processor's cache (1.4 x at 44,000 x 100
#: over chunks of 8192)
CHUNK = 1024
#: settings that came later, and where they change nothing
LATER = (("in_batch", False), ("directions", QUERY_TO_DOC))
#: random documents drawn beyond need, since some are relevant or drawn already
SPARE = 8


@dataclass(frozen=True)
class Sampling:
    """How training lists are made of relevant documents and candidates.

    A list holds up to ``positives`` relevant documents of a query; negatives fill it up to ``docs_per_list``. Documents
    judged relevant are never negatives. Every epoch draws anew, reproducibly for (seed, epoch, query); inside a list
    documents stand in random order. Lists get shorter where documents run out.

    Args:
        docs_per_list: documents in a list, at least 2; null takes all candidates.
        positives: most relevant documents in a list, at least 1; null allows any number.
        min_grade: lowest grade that counts as relevant, at least 1.
        top: negatives come from the best so many candidates, and lists of a teacher from the best so many of its documents;
            null uses all.
        skip: leave out so many of the best candidates, where unjudged relevant documents are likely.
        random: share of the negatives drawn at random from the collection, in [0, 1]; they also stand in where
            candidates run out.
        random_pool: random negatives come from so many documents chosen once (only those are tokenised).
        in_batch: the documents of all lists of a batch are negatives of every list, except those that are known to be
            relevant to its query; for scorers that read queries and documents apart. A list may then hold relevant
            documents alone (``docs_per_list`` 1), and larger batches have more negatives.
        directions: what is compared in a batch, in one list for each query: ``query_to_doc``, always; the query with the
            other queries (``query_to_query``); its first relevant document with them (``doc_to_query``) and with other
            documents (``doc_to_doc``).
    """

    docs_per_list: int | None = 8
    positives: int | None = 1
    min_grade: int = 1
    top: int | None = 100
    skip: int = 0
    random: float = 0.0
    random_pool: int = 100_000
    in_batch: bool = False
    directions: tuple[str, ...] = QUERY_TO_DOC

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", tuple(self.directions))
        unknown = [one for one in self.directions if one not in DIRECTIONS]
        if unknown or QUERY_TO_DOC[0] not in self.directions:
            raise ConfigError(
                f"Sampling: directions must be query_to_doc and others of {', '.join(DIRECTIONS[1:])}, got "
                f"{list(self.directions)}"
            )
        if self.directions != QUERY_TO_DOC and not self.in_batch:
            raise ConfigError(f"Sampling: directions {list(self.directions)} need in_batch, which is false")
        least = 1 if self.in_batch else 2
        if self.docs_per_list is not None and self.docs_per_list < least:
            raise ConfigError(
                f"Sampling: docs_per_list must be at least {least}, or null for all, got {self.docs_per_list}"
            )
        if self.positives is not None and self.positives < 1:
            raise ConfigError(f"Sampling: positives must be at least 1, or null for all, got {self.positives}")
        if None not in (self.docs_per_list, self.positives) and self.positives > self.docs_per_list - least + 1:  # type: ignore[operator]
            raise ConfigError(
                f"Sampling: positives must leave room for negatives, below docs_per_list {self.docs_per_list}"
                f"{' + 1' if self.in_batch else ''}, "
                f"got {self.positives}"
            )
        if self.min_grade < 1:
            raise ConfigError(f"Sampling: min_grade must be at least 1, got {self.min_grade}")
        if self.skip < 0 or (self.top is not None and self.top <= self.skip):
            raise ConfigError(f"Sampling: needs 0 <= skip < top, got skip {self.skip} and top {self.top}")
        if not 0 <= self.random <= 1:
            raise ConfigError(f"Sampling: random is a share in [0, 1], got {self.random}")
        if self.random_pool < 1:
            raise ConfigError(f"Sampling: random_pool must be at least 1, got {self.random_pool}")
        if self.random and self.docs_per_list is None:
            raise ConfigError("Sampling: random negatives need a docs_per_list, got null")

    @property
    def facts(self) -> dict[str, Any]:
        """The settings as plain values; those that came later are left out where they change nothing."""
        return {name: value for name, value in asdict(self).items() if (name, value) not in LATER}

    @property
    def needs_candidates(self) -> bool:
        """Whether lists have room for negatives of their own."""
        return None in (self.docs_per_list, self.positives) or self.docs_per_list > self.positives  # type: ignore[operator]


class Drawn(NamedTuple):
    """Lists of documents, as numbers in a Pool.

    Attributes:
        entries: [lists] which entry of the pool each list was drawn from.
        offsets: [lists + 1] the documents of list i are ``docs[offsets[i]:offsets[i + 1]]``.
        docs: [documents] int32 document numbers.
        labels: [documents] float32.
    """

    entries: np.ndarray
    offsets: np.ndarray
    docs: np.ndarray
    labels: np.ndarray

    def take(self, lists: np.ndarray) -> Drawn:
        """The lists of those numbers, in that order."""
        lengths = np.diff(self.offsets)[lists]
        places = spans(self.offsets[:-1][lists], lengths)
        return Drawn(self.entries[lists], offsets_of(lengths), self.docs[places], self.labels[places])


@dataclass
class Pool:
    """What training lists are drawn from: per entry (a query) two groups of documents, all as integers.

    Attributes:
        query_ids: [entries] query of each entry.
        doc_ids: document number -> document id.
        first: documents of which up to ``most_first`` enter a list before any other (the relevant ones).
        first_labels: a label for each of ``first.values``.
        rest: documents that fill the list (candidates for negatives, or a teacher's documents).
        rest_labels: a label for each of ``rest.values``.
        relevant: documents that are never drawn at random, and never negatives of other lists' documents.
        random_docs: documents for random negatives.
        random: share of the list's rest that is drawn from them.
        most: documents per list, or None for all.
        most_first: documents of ``first`` per list, or None for all.
        notes: what was said while it was made.
        keys: [entries] uint64, ``keys_of`` the queries; worked out where they are not given.
    """

    query_ids: Sequence[str]
    doc_ids: Sequence[str]
    first: Ragged
    first_labels: np.ndarray
    rest: Ragged
    rest_labels: np.ndarray
    relevant: Ragged
    most: int | None = None
    most_first: int | None = None
    random: float = 0.0
    random_docs: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    notes: list[str] = field(default_factory=list)
    keys: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.keys is None:
            self.keys = keys_of(self.query_ids)

    def __len__(self) -> int:
        """Number of entries; each gives one list per epoch."""
        return len(self.query_ids)

    def draw(self, entries: np.ndarray, seed: int, epoch: int) -> Drawn:
        """One list for each of ``entries``, the same for the same (seed, epoch, query)."""
        parts = [self._draw(entries[i : i + CHUNK], seed, epoch) for i in range(0, len(entries), CHUNK)]
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        return Drawn(
            entries,
            offsets_of(lengths),
            np.concatenate([part.docs for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )

    def _draw(self, entries: np.ndarray, seed: int, epoch: int) -> Drawn:
        n = len(entries)
        assert self.keys is not None
        keys = mixed(self.keys[entries] ^ mixed(mixed(np.array([seed], np.uint64)) + np.uint64(epoch)))
        unlimited = np.full(n, np.iinfo(np.int64).max)
        most = unlimited if self.most is None else np.full(n, self.most)
        most_first = unlimited if self.most_first is None else np.full(n, self.most_first)
        if self.most is not None and self.most_first is None and self.first.values.size:
            most_first = np.maximum(most - 1, 1)  # room for one document of the rest
        owners, places = choose(self.first.offsets, entries, most_first, keys)
        room = most - np.bincount(owners, minlength=n)
        from_rest = room if not self.random else room - np.floor(self.random * room + 0.5).astype(np.int64)
        rest_owners, rest_places = choose(self.rest.offsets, entries, from_rest, mixed(keys))
        owners = np.concatenate([owners, rest_owners])
        docs = np.concatenate([self.first.values[places], self.rest.values[rest_places]])
        labels = np.concatenate([self.first_labels[places], self.rest_labels[rest_places]])
        if self.random:
            wanted = room - np.bincount(rest_owners, minlength=n)
            more_owners, more = self._random(entries, wanted, keys, owners, docs)
            owners, docs = np.concatenate([owners, more_owners]), np.concatenate([docs, more])
            labels = np.concatenate([labels, np.zeros(len(more), np.float32)])
        # random order inside a list: a loss must not be able to read the label from the place
        order = shuffled(owners, mixed(keys[owners] + docs.astype(np.uint64)))
        offsets = offsets_of(np.bincount(owners, minlength=n))
        return Drawn(entries, offsets, docs[order].astype(np.int32), labels[order].astype(np.float32))

    def _random(
        self, entries: np.ndarray, wanted: np.ndarray, keys: np.ndarray, owners: np.ndarray, docs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(owners, documents): up to ``wanted`` random documents per list, none relevant, none twice."""
        tries = np.where(wanted > 0, wanted + SPARE, 0)
        who = np.repeat(np.arange(len(entries)), tries)
        attempt = spans(np.zeros(len(entries), np.int64), tries)
        draws = mixed(mixed(keys[who] + np.uint64(1)) + attempt.astype(np.uint64))
        drawn = self.random_docs[(draws % np.uint64(len(self.random_docs))).astype(np.int64)]
        # (list, document) as one integer, to find relevant and repeated ones at once
        n_docs = len(self.doc_ids)
        codes = who * n_docs + drawn
        relevant = self.relevant.take(entries)
        relevant_owners = np.repeat(np.arange(len(entries)), relevant.lengths)
        taken = np.concatenate([relevant_owners * n_docs + relevant.values, owners * n_docs + docs])
        fresh = np.zeros(len(codes), bool)
        fresh[np.unique(codes, return_index=True)[1]] = True
        fresh &= ~np.isin(codes, taken)
        who, drawn = who[fresh], drawn[fresh]
        rank = np.arange(len(who)) - np.searchsorted(who, who)
        keep = rank < wanted[who]
        return who[keep], drawn[keep]


def choose(
    offsets: np.ndarray, entries: np.ndarray, wanted: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(owners, places): up to ``wanted[i]`` places of ``offsets[e]:offsets[e + 1]``, e = entries[i], at random by key.

    Which places are chosen depends on the entry's key and length only.
    """
    lengths = np.diff(offsets)[entries]
    owners = np.repeat(np.arange(len(entries)), lengths)
    within = spans(np.zeros(len(entries), np.int64), lengths)
    places = spans(offsets[:-1][entries], lengths)
    if not np.any(lengths > wanted):
        return owners, places
    order = shuffled(owners, mixed(keys[owners] + within.astype(np.uint64)))
    keep = order[within < wanted[owners]]  # owners are sorted, so ``within`` is also the rank in the sorted order
    return owners[keep], places[keep]


def shuffled(owners: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The order by owner (below 2**20), then by random number: sorts single integers, 5 times as fast as lexsort."""
    return np.argsort((owners.astype(np.uint64) << np.uint64(44)) | (numbers >> np.uint64(20)), kind="stable")


def mixed(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 numbers one by one (splitmix64): equal numbers stay equal, near ones end far apart.

    >>> int(mixed(np.array([0], np.uint64))[0]) == 0xE220A8397B1DCDAF
    True
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def keys_of(ids: Iterable[str]) -> np.ndarray:
    """[ids] uint64: a number for each id, the same in every process and on every machine."""
    places: dict[str, int] = {}
    which = [places.setdefault(text_id, len(places)) for text_id in ids]
    digests = b"".join(hashlib.blake2b(text_id.encode(), digest_size=8).digest() for text_id in places)
    return np.frombuffer(digests, "<u8").astype(np.uint64)[which]


def subset(ids: list[str], n: int | None, seed: int) -> list[str]:
    """``n`` of the ids chosen at random by seed, in their order (all when None); a larger n contains a smaller one's."""
    if n is None or n >= len(ids):
        return ids
    order = np.argsort(mixed(keys_of(ids) ^ mixed(np.array([seed], np.uint64))), kind="stable")
    return [ids[i] for i in np.sort(order[:n])]


def epoch_entries(n: int, n_lists: int | None, seed: int, epoch: int) -> np.ndarray:
    """Which ``n_lists`` of ``n`` entries an epoch uses: epochs walk through one permutation after another."""
    if n_lists is None or n_lists == n:
        return np.arange(n)
    if n_lists > n:
        raise ConfigError(f"train_epoch_lists: an epoch has at most one list per query, {n}, got {n_lists}")
    first, last = epoch * n_lists, (epoch + 1) * n_lists - 1
    walks = [np.random.default_rng([seed, walk]).permutation(n) for walk in range(first // n, last // n + 1)]
    chosen = np.concatenate(walks)[first % n :]
    # an entry that ends one permutation and begins the next one comes only once
    return chosen[np.sort(np.unique(chosen, return_index=True)[1])][:n_lists]
