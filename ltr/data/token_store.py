"""Tokens on disk: texts are tokenised once, loaders gather integers from memory-mapped shards."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ltr.data.ragged import Ragged, offsets_of, spans
from ltr.data.tokens import CHUNK, backend_of, token_ids, tokenizer_identity
from ltr.errors import DataError
from ltr.io.files import cache_folder, replacing

#: part of every key: a change of the shard format or of the tokenising gives new folders
FORMAT = 1
MAGIC = b"ltr tokens\n"
HEADER = 256
#: a shard is written (and safe from interruption) when it holds this many texts or tokens
SHARD_TEXTS, SHARD_TOKENS = 2**18, 2**24

log = logging.getLogger("ltr")


class Shard:
    """One file of tokenised texts: header, lengths (int32), tokens (uint16 or int32), ids (JSON).

    Args:
        path: the file.
        verify: compare the checksum too, which reads the whole file; otherwise only header and size are checked.

    Raises:
        DataError: the file is damaged.
    """

    def __init__(self, path: Path, verify: bool = False):
        self.path = path
        try:
            with open(path, "rb") as file:
                head = file.read(HEADER)
                if not head.startswith(MAGIC):
                    raise ValueError("its header is unknown")
                facts = json.loads(head[len(MAGIC) :])
                self.n, self.n_tokens, self.dtype = facts["texts"], facts["tokens"], np.dtype(facts["dtype"])
                self._ids_at = HEADER + 4 * self.n + self.dtype.itemsize * self.n_tokens
                if path.stat().st_size != self._ids_at + facts["id_bytes"]:
                    raise ValueError(f"{path.stat().st_size} bytes instead of {self._ids_at + facts['id_bytes']}")
                if verify:
                    checksum = 0
                    while block := file.read(2**22):
                        checksum = zlib.crc32(block, checksum)
                    if checksum != facts["checksum"]:
                        raise ValueError("its checksum does not fit")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"token cache: {path} is damaged: {error}; it is rebuilt when data are prepared") from None

    def ids(self) -> list[str]:
        """The ids of its texts."""
        with open(self.path, "rb") as file:
            file.seek(self._ids_at)
            return json.loads(file.read())

    def lengths(self) -> np.ndarray:
        """[texts] int32."""
        return np.fromfile(self.path, np.int32, self.n, offset=HEADER)

    def tokens(self) -> np.ndarray:
        """[tokens], mapped into memory."""
        if not self.n_tokens:  # an empty range cannot be mapped
            return np.zeros(0, self.dtype)
        return np.memmap(self.path, self.dtype, "r", HEADER + 4 * self.n, (self.n_tokens,))

    @staticmethod
    def write(folder: Path, number: int, ids: Sequence[str], tokens: Ragged) -> None:
        """Write shard ``number`` of a folder beside its place and rename it."""
        names = json.dumps(list(ids)).encode()
        body = [tokens.lengths.astype(np.int32).tobytes(), tokens.values.tobytes(), names]
        checksum = 0
        for block in body:
            checksum = zlib.crc32(block, checksum)
        facts = {"texts": tokens.n, "tokens": len(tokens.values), "dtype": tokens.values.dtype.str}
        head = MAGIC + json.dumps({**facts, "id_bytes": len(names), "checksum": checksum}).encode()
        # the checksum in the name: a rebuilt shard never stands where another process expects the damaged one's rows
        with replacing(folder / f"{number:06d}-{checksum:08x}.shard", "wb") as file:
            file.write(head.ljust(HEADER))
            file.writelines(body)


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
        self._dtype = self._shards[0].dtype if self._shards else np.dtype(np.int32)

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["paths"])  # type: ignore[misc]

    def __len__(self) -> int:
        """Number of texts."""
        return len(self._lengths)

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """[ids] int64, the row of each id. Raises DataError naming an id that has none."""
        ids = list(ids)
        wanted = dict.fromkeys(ids, -1)
        for first, shard in zip(self._first_rows, self._shards, strict=False):
            for row, text_id in enumerate(shard.ids(), int(first)):
                if wanted.get(text_id) == -1:
                    wanted[text_id] = row
        missing = [text_id for text_id, row in wanted.items() if row < 0]
        if missing:
            raise DataError(
                f"token cache: {len(missing)} ids are not tokenised, such as {missing[0]!r}; prepare the data first"
            )
        return np.fromiter((wanted[text_id] for text_id in ids), np.int64, len(ids))

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
        key = hashlib.sha256(json.dumps([FORMAT, source, self.identity, max_tokens]).encode()).hexdigest()[:20]
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
        """
        with self._alone():
            missing = dict.fromkeys(ids)
            for shard in self._sound_shards():
                for text_id in shard.ids():
                    missing.pop(text_id, None)
            if missing:
                self._tokenise(list(missing), texts, progress)
        return len(missing)

    def _alone(self) -> Any:
        from filelock import FileLock, Timeout

        lock = FileLock(str(self.folder / "lock"))
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            log.warning("token cache: waiting for another process that writes %s", self.folder)
            return lock.acquire()

    def _sound_shards(self) -> list[Shard]:
        """The verified shards, after removing damaged ones and what a killed process left (call with the lock held)."""
        for left in self.folder.glob(".*.part"):
            left.unlink()
        sound = []
        for path in sorted(self.folder.glob("*.shard")):
            try:
                sound.append(Shard(path, verify=True))
            except DataError as error:
                log.warning("%s", error)
                path.unlink()
        return sound

    def _tokenise(self, ids: list[str], texts: Callable[[Sequence[str]], Sequence[str]], progress: str | None) -> None:
        from tqdm import tqdm

        about = {"source": self.source, "tokenizer": self.identity, "max_tokens": self.max_tokens, "format": FORMAT}
        with replacing(self.folder / "about.json") as file:
            json.dump({**about, "name": str(self.tokenizer.name_or_path)}, file, indent=1)
        backend, left = backend_of(self.tokenizer), iter(ids)
        number = max((int(path.name[:6]) for path in self.folder.glob("*.shard")), default=-1) + 1
        kept: list[str] = []
        parts: list[Ragged] = []
        with tqdm(total=len(ids), desc=progress, unit=" texts", disable=progress is None) as bar:
            while chunk := list(islice(left, CHUNK)):
                parts.append(Ragged.of(token_ids(backend, texts(chunk), self.max_tokens), self._dtype))
                kept += chunk
                bar.update(len(chunk))
                if len(kept) >= SHARD_TEXTS or sum(len(part.values) for part in parts) >= SHARD_TOKENS:
                    Shard.write(self.folder, number, kept, Ragged.join(parts))
                    number, kept, parts = number + 1, [], []
        if kept:
            Shard.write(self.folder, number, kept, Ragged.join(parts))
