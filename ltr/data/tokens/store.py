"""Tokens on disk: texts are tokenised once, loaders gather integers from memory-mapped shards."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ltr.data.collections.ids import content_of, digests
from ltr.data.lists.prefetch import prefetched
from ltr.data.lists.ragged import Ragged
from ltr.data.tokens.index import Index, names_of
from ltr.data.tokens.pairs import CHUNK, backend_of, tokenizer_identity, tokens_of
from ltr.data.tokens.shards import Shard, sound_shards
from ltr.errors import DataError
from ltr.io.caching.cache_folder import cache_folder
from ltr.io.caching.cached import alone
from ltr.io.caching.keys import key_of_facts
from ltr.io.disk import REFUSALS
from ltr.io.files import replacing
from ltr.io.offsets import offsets_of, spans

#: part of every key: a change of the shard format or of the tokenising gives new folders
FORMAT = 2
#: a shard is written (and safe from interruption) when it holds this many texts or tokens
SHARD_TEXTS, SHARD_TOKENS = 2**18, 2**24
#: characters of texts read at a time, about; so many texts are read first, to see how long they are
READ, FIRST = 2**24, 64
#: the rows of so many ids are kept in a file: hashing the ids of MS MARCO takes eight seconds
KEPT = 2**14
#: ids looked up at a time
LOOKUP = 2**16
#: a file written within one tick of the file system's clock could change again without its time telling
TICK = 0.02

log = logging.getLogger("ltr")


class TokenTable:
    """Tokenised texts, opened read-only: a row per text.

    It may be sent to other processes, which map the same files.

    Args:
        paths: the shards, in order.
    """

    def __init__(self, paths: Sequence[Path]):
        self.paths = list(paths)
        self._open()

    def _open(self) -> None:
        self._shards = [Shard(path) for path in self.paths]
        lengths = [shard.lengths() for shard in self._shards]
        self._lengths = np.concatenate(lengths) if lengths else np.zeros(0, np.int32)
        self._starts = np.concatenate([offsets_of(part)[:-1] for part in lengths]) if lengths else np.zeros(0, np.int64)
        self._first_rows = offsets_of(np.array([shard.n for shard in self._shards], np.int64))
        self._tokens = [shard.tokens() for shard in self._shards]
        self._index: Index | None = None
        self._dtype = self._shards[0].dtype if self._shards else np.dtype(np.int32)

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["paths"])  # type: ignore[misc]

    def __len__(self) -> int:
        """Number of texts."""
        return len(self._lengths)

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """[ids] int64, the row of each id. Raises DataError naming an id that has none."""
        kept = self._kept_rows(ids)
        if kept is not None:
            return kept
        if self._index is None:
            shards = self._shards
            self._index = Index.opened(self.paths[0].parent, shards) if shards else Index.of(shards)
        rows_of_ids = [self._index.find(digests(ids[at : at + LOOKUP])) for at in range(0, len(ids), LOOKUP)]
        rows = np.concatenate([np.zeros(0, np.int64), *rows_of_ids])
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            raise DataError(
                f"token cache: {len(missing)} ids are not tokenised, such as {ids[int(missing[0])]!r}; prepare the data "
                "first"
            )
        return rows

    def _kept_rows(self, ids: Sequence[str]) -> np.ndarray | None:
        """The rows that ``TokenStore.ensure`` kept of these ids, from a file."""
        if not self.paths or len(ids) < KEPT:
            return None
        try:
            rows = np.load(rows_file(self.paths, ids), mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return None
        return rows.view(np.ndarray) if rows.shape == (len(ids),) else None

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """[rows] int64, stored tokens of each."""
        return self._lengths[rows].astype(np.int64)

    def gather(self, rows: np.ndarray) -> Ragged:
        """The tokens of rows, in that order."""
        lengths = self.lengths(rows)
        offsets = offsets_of(lengths)
        values = np.empty(int(offsets[-1]), self._dtype)
        shard_of = np.searchsorted(self._first_rows, rows, side="right") - 1
        for number in np.unique(shard_of):
            these = np.flatnonzero(shard_of == number)
            places = spans(offsets[these], lengths[these])
            values[places] = self._tokens[number][spans(self._starts[rows[these]], lengths[these])]
        return Ragged(values, offsets)


def rows_file(paths: Sequence[Path], ids: Sequence[str]) -> Path:
    """Where the rows of ids in the table of some shards are kept."""
    return paths[0].parent / f"rows-{names_of(paths)}-{content_of(ids)}.npy"


class TokenStore:
    """The token cache of one set of texts and one tokenizer, in the user's cache folder.

    Append-only: ``ensure`` tokenises what is missing into new shards. Shards are renamed into place when complete, so
    an interruption loses at most the one in work; a lock lets one process write at a time; damaged shards are
    removed and their texts tokenised again.

    Args:
        source: what the texts are; texts of one id must be equal wherever the source is equal.
        tokenizer: a fast transformers tokenizer; the cache is keyed by its content, not by its name.
        max_tokens: tokens kept of each text; part of the key.
    """

    def __init__(self, source: str, tokenizer: Any, max_tokens: int = 512):
        self.source, self.tokenizer, self.max_tokens = source, tokenizer, max_tokens
        self.identity = tokenizer_identity(tokenizer)
        key = key_of_facts([FORMAT, source, self.identity, max_tokens], 20)
        self.folder = cache_folder("tokens", key)
        self._dtype = np.dtype(np.uint16 if len(tokenizer) <= 2**16 else np.int32)

    def open(self) -> TokenTable:
        """What is tokenised so far."""
        return TokenTable(sorted(self.folder.glob("*.shard")))

    def ensure(
        self, ids: Iterable[str], texts: Callable[[Sequence[str]], Sequence[str]], progress: str | None = None
    ) -> int:
        """Tokenise those of ``ids`` that are not stored yet; returns how many those were.

        Args:
            ids: ids of the texts that are needed; repeated ids are allowed.
            texts: looks texts up by id, some thousands at a time.
            progress: label of a progress bar; None shows none.

        Raises:
            DataError: texts are missing, and the cache cannot be written.
        """
        wanted = ids if isinstance(ids, Sequence) else list(ids)
        try:
            lock = alone(self.folder / "lock", self.folder)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            return self._complete(wanted, error)
        with lock:
            shards = self._sound_shards()
            if shards and len(wanted) >= KEPT and rows_file([shard.path for shard in shards], wanted).exists():
                return 0
            missing = self._missing(Index.opened(self.folder, shards, keep=True), wanted)
            if len(missing):
                self._tokenise(wanted, missing, texts, progress)
                shards = self._sound_shards()
                Index.opened(self.folder, shards, keep=True)
            self._keep_rows(shards, wanted)
        return len(missing)

    def _missing(self, index: Index, ids: Sequence[str]) -> np.ndarray:
        """Places in ``ids`` of those that are not in the index, each id once."""
        places, names = [np.zeros(0, np.int64)], [np.zeros((2, 0), np.uint64)]
        for at in range(0, len(ids), LOOKUP):
            chunk = digests(ids[at : at + LOOKUP])
            new = np.flatnonzero(index.find(chunk) < 0)
            places.append(at + new)
            names.append(chunk[:, new])
        first, second = np.concatenate(names, axis=1)
        new = np.concatenate(places)
        if len(np.unique(first)) == len(new):
            return new
        pairs = np.stack([first, second], axis=1).view("V16").ravel()
        return new[np.sort(np.unique(pairs, return_index=True)[1])]

    def _keep_rows(self, shards: list[Shard], ids: Sequence[str]) -> None:
        """Keep the rows of many ids for the next start, and remove those that belong to other shards."""
        if not shards:
            return
        current = names_of([shard.path for shard in shards])
        for other in self.folder.glob("rows-*.npy"):
            if not other.name.startswith(f"rows-{current}-"):
                with suppress(PermissionError):  # where a process has it open and the system minds
                    other.unlink()
        if len(ids) >= KEPT:
            with replacing(rows_file([shard.path for shard in shards], ids), "wb") as file:
                np.save(file, self.open().rows(ids))

    def _complete(self, ids: Sequence[str], error: OSError) -> int:
        """0 where all ids are in a cache that cannot be written. Raises DataError otherwise."""
        missing = self._missing(Index.opened(self.folder, self.open()._shards), ids)
        if len(missing):
            raise DataError(
                f"token cache: {len(missing)} texts are not in {self.folder}, and it cannot be written "
                f"({error.strerror}); prepare the data as a user who may, or let $LTR_CACHE name another folder"
            ) from error
        return 0

    def _sound_shards(self) -> list[Shard]:
        """The verified shards, after removing damaged ones and what a killed process left (call with the lock held)."""
        for left in self.folder.glob(".*.part"):
            left.unlink()
        sound, wrong = sound_shards(self.folder)
        for message in wrong:
            log.warning("%s", message)
        return sound

    def _tokenise(
        self,
        ids: Sequence[str],
        places: np.ndarray,
        texts: Callable[[Sequence[str]], Sequence[str]],
        progress: str | None,
    ) -> None:
        from tqdm import tqdm

        about = {"source": self.source, "tokenizer": self.identity, "max_tokens": self.max_tokens, "format": FORMAT}
        with replacing(self.folder / "about.json") as file:
            json.dump({**about, "name": str(self.tokenizer.name_or_path)}, file, indent=1)
        backend = backend_of(self.tokenizer)
        writer = Writer(self.folder)
        # texts are read by a thread of their own, while the tokenizer's threads work on those before
        with tqdm(total=len(places), desc=progress, unit=" texts", disable=progress is None) as bar:
            for names, batch in prefetched(_read(ids, places, texts), depth=1):
                writer.add(names, tokens_of(backend, batch, self.max_tokens, self._dtype))
                bar.update(len(batch))
        writer.close()


def _read(
    ids: Sequence[str], places: np.ndarray, texts: Callable[[Sequence[str]], Sequence[str]]
) -> Iterator[tuple[np.ndarray, Sequence[str]]]:
    """The digests of ids and their texts, up to ``CHUNK`` at a time and fewer where texts are long."""
    at, size = 0, min(FIRST, CHUNK)
    while at < len(places):
        names = [ids[place] for place in places[at : at + size].tolist()]
        read = texts(names)
        yield digests(names), read
        at += size
        size = min(CHUNK, 1 + READ * len(read) // (1 + sum(map(len, read))))


class Writer:
    """Gathers tokens and writes a shard whenever there are enough."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._number = max((int(path.name[:6]) for path in folder.glob("*.shard")), default=-1) + 1
        self._names: list[np.ndarray] = []
        self._parts: list[Ragged] = []

    def add(self, names: np.ndarray, tokens: Ragged) -> None:
        """Texts, with the digests of their ids."""
        self._names.append(names)
        self._parts.append(tokens)
        texts, values = (sum(sizes) for sizes in zip(*((p.n, len(p.values)) for p in self._parts), strict=True))
        if texts >= SHARD_TEXTS or values >= SHARD_TOKENS:
            self._write()

    def close(self) -> None:
        """Write what is left."""
        if self._parts:
            self._write()
        time.sleep(TICK)  # so that any later change of a file shows in its time

    def _write(self) -> None:
        Shard.write(self.folder, self._number, np.concatenate(self._names, axis=1), Ragged.join(self._parts))
        self._number, self._names, self._parts = self._number + 1, [], []
