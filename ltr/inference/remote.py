"""``RemoteReranker``: the same calls as ``Reranker``, answered by a server."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from ltr.errors import ConfigError, MissingExtra, ServerError
from ltr.inference.documents import Document, check_query, text_of
from ltr.inference.ranking import Lists, TextRanker
from ltr.inference.remote_answers import Waiting, batch_limit, scores_of, told
from ltr.machine.forks import across_forks

log = logging.getLogger(__name__)

#: documents a request where the server does not say how many it takes: what the servers of this form take at least
USUAL_BATCH = 32
#: where a key is looked for that is not given
KEY = "LTR_API_KEY"
#: one client is opened, and a warning told, whichever thread comes first
_changing = across_forks(threading.Lock())


class _Slice(NamedTuple):
    """Documents that go to the server together."""

    query: str
    texts: list[str]
    raw: bool

    @property
    def body(self) -> dict[str, Any]:
        return {"query": self.query, "texts": self.texts, "raw_scores": self.raw, "truncate": True}

    def halves(self) -> list[_Slice]:
        middle = len(self.texts) // 2
        return [self._replace(texts=part) for part in (self.texts[:middle], self.texts[middle:])]


class RemoteReranker(TextRanker):
    """Sorts documents by what the model of a server thinks of them: ``ltr serve``, or any that speaks TEI's ``/rerank``.

    Documents go out in requests as large as the server takes (``/info``), several at a time. A server that is busy (429,
    503) is asked again when it says so (``Retry-After``), as long as patience lasts; a request that is too large (413) is
    halved. What the server warns of (``x-warnings``), such as queries that it cut, is logged once. Threads may share one; it
    can be sent to other processes, and goes on in forked ones with connections of their own.

    Args:
        url: of the server, such as ``http://127.0.0.1:8080``.
        api_key: its key; by default what ``$LTR_API_KEY`` holds, if anything.
        concurrency: requests on their way at once, within one call.
        patience: seconds that one request may wait for a busy server, in all.
        timeout: seconds until an answer must have come.

    Raises:
        ConfigError: a url that is none, or a number below what makes sense.
        MissingExtra: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        concurrency: int = 8,
        patience: float = 60.0,
        timeout: float = 120.0,
    ):
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"RemoteReranker: url must begin with http:// or https://, got {url!r}")
        if concurrency < 1 or not patience >= 0 or not timeout > 0:
            raise ConfigError(
                "RemoteReranker: concurrency must be at least 1, patience at least 0 and timeout above 0, got "
                f"{concurrency}, {patience} and {timeout}"
            )
        self.url = url.rstrip("/").removesuffix("/rerank")
        self.concurrency, self.patience, self.timeout = concurrency, patience, timeout
        self._key = os.environ.get(KEY) if api_key is None else api_key
        self._limit: int | None = None
        #: what the server warned of: each is told once
        self._warned: set[str] = set()
        self._client: Any = None
        #: the process that opened it
        self._opener: int | None = None
        _httpx()

    def __repr__(self) -> str:
        return f"RemoteReranker({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None}  # connections stay where they are

    def close(self) -> None:
        """Close the connections that are kept open; the next call opens others."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def scores_of_lists(self, lists: Lists, probability: bool, progress: bool) -> list[np.ndarray]:
        slices = self._slices(lists.queries, lists.texts, not probability) if any(lists.texts) else []
        return _of_each(lists.texts, self._sent(slices, "reranking" if progress else None))

    async def ascores_of_lists(self, lists: Lists, probability: bool) -> list[np.ndarray]:
        if not any(lists.texts):
            return _of_each(lists.texts, [])
        async with _httpx().AsyncClient(**self._options()) as client:
            if self._limit is None:
                self._limit = self._read_limit(await self._aasked(client, "GET", "/info"))
            slices = self._slices(lists.queries, lists.texts, not probability)
            gate = asyncio.Semaphore(self.concurrency)

            async def one(part: _Slice) -> np.ndarray:
                async with gate:
                    return await self._ascores(client, part)

            return _of_each(lists.texts, await asyncio.gather(*map(one, slices)))

    def stored_weight(self) -> float:
        raise ConfigError(
            "RemoteReranker: interpolate=True needs the weight that is stored with the model, which servers do not tell; "
            "give it, such as interpolate=0.3"
        )

    def score(self, pairs: Sequence[tuple[str, Document]], progress: bool = False) -> np.ndarray:
        """Raw scores [pairs] float32 of (query, document) pairs, in their order."""
        queries, lists = _neighbours(self.checked_pairs(pairs))
        slices = self._slices(queries, lists, True) if lists else []
        found = self._sent(slices, "scoring" if progress else None)
        return np.concatenate([*found, np.zeros(0)]).astype(np.float32)

    # ------------------------------------------------------------------ requests

    def _slices(self, queries: Sequence[str], lists: Sequence[list[str]], raw: bool) -> list[_Slice]:
        if self._limit is None:
            self._limit = self._read_limit(self._asked("GET", "/info"))
        size = self._limit
        return [
            _Slice(query, texts[start : start + size], raw)
            for query, texts in zip(queries, lists, strict=True)
            for start in range(0, len(texts), size)
        ]

    def _read_limit(self, answer: Any) -> int:
        return USUAL_BATCH if answer.status_code == 404 else batch_limit(self._checked(answer), USUAL_BATCH, self.url)

    def _sent(self, slices: list[_Slice], progress: str | None) -> list[np.ndarray]:
        from tqdm.auto import tqdm

        with (
            tqdm(desc=progress, total=len(slices), unit=" requests", disable=progress is None) as bar,
            ThreadPoolExecutor(min(self.concurrency, len(slices) or 1)) as pool,
        ):
            found = []
            for scores in pool.map(self._scores, slices):
                found.append(scores)
                bar.update()
            return found

    def _scores(self, part: _Slice) -> np.ndarray:
        answer = self._asked("POST", "/rerank", part.body)
        if answer.status_code == 413 and len(part.texts) > 1:
            return np.concatenate([self._scores(half) for half in part.halves()])
        return scores_of(self._checked(answer), len(part.texts), self.url)

    async def _ascores(self, client: Any, part: _Slice) -> np.ndarray:
        answer = await self._aasked(client, "POST", "/rerank", part.body)
        if answer.status_code == 413 and len(part.texts) > 1:
            return np.concatenate([await self._ascores(client, half) for half in part.halves()])
        return scores_of(self._checked(answer), len(part.texts), self.url)

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer of the server, whatever its status is, once it is not busy."""
        client = self._connected()
        waiting = Waiting(self.patience)
        while True:
            try:
                answer = client.request(method, path, json=body)
            except _httpx().TransportError as error:
                raise self._unreached(error) from error
            pause = waiting.pause(answer)
            if pause is None:
                return answer
            time.sleep(pause)

    async def _aasked(self, client: Any, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        waiting = Waiting(self.patience)
        while True:
            try:
                answer = await client.request(method, path, json=body)
            except _httpx().TransportError as error:
                raise self._unreached(error) from error
            pause = waiting.pause(answer)
            if pause is None:
                return answer
            await asyncio.sleep(pause)

    def _connected(self) -> Any:
        with _changing:
            # after a fork the connections are the other process's: answers to both would come to either
            if self._client is None or self._opener != os.getpid():
                self._client, self._opener = _httpx().Client(**self._options()), os.getpid()
                weakref.finalize(self, self._client.close)
            return self._client

    def _options(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        httpx = _httpx()
        limits = httpx.Limits(max_connections=self.concurrency)
        return {"base_url": self.url, "headers": headers, "timeout": self.timeout, "limits": limits}

    def _checked(self, answer: Any) -> Any:
        if answer.status_code == 200:
            if (warning := answer.headers.get("x-warnings")) and self._is_new(warning):
                log.warning("RemoteReranker: %s warns: %s", self.url, warning)
            return answer
        hint = f"; give api_key, or set {KEY}" if answer.status_code in (401, 403) else ""
        raise ServerError(f"RemoteReranker: {self.url} answers {answer.status_code}: {told(answer)}{hint}")

    def _is_new(self, warning: str) -> bool:
        with _changing:
            known = warning in self._warned
            self._warned.add(warning)
        return not known

    def _unreached(self, error: Exception) -> ServerError:
        what = (
            f"does not answer within {self.timeout:g} s" if "Timeout" in type(error).__name__ else "cannot be reached"
        )
        return ServerError(
            f"RemoteReranker: {self.url} {what} ({type(error).__name__}: {error}); is the server running, and is this its "
            "address?"
        )


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise MissingExtra("httpx", "remote", "to ask a server") from None
    return httpx


def _neighbours(pairs: Sequence[tuple[str, Document]]) -> tuple[list[str], list[list[str]]]:
    """Neighbouring pairs of one query, together."""
    for i, pair in enumerate(pairs):
        check_query(pair[0], str(i))
    queries, lists = [], []
    numbered = enumerate(pairs)
    for query, own in groupby(numbered, key=lambda one: one[1][0]):
        queries.append(query)
        lists.append([text_of(doc, str(i), "0") for i, (_, doc) in own])
    return queries, lists


def _of_each(lists: Sequence[list[str]], found: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The scores of each query's documents from those of slices."""
    every = np.concatenate([*found, np.zeros(0)])
    return np.split(every, np.cumsum([len(texts) for texts in lists])[:-1]) if lists else []
