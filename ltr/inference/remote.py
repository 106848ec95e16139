"""``RemoteReranker``: the same calls as ``Reranker``, answered by a server."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from ltr.errors import ConfigError, DataError, MissingExtra, ServerError
from ltr.inference.documents import (
    Document,
    Ranked,
    check_query,
    check_several,
    mixed_scores,
    same_number,
    text_of,
)
from ltr.inference.remote_answers import Waiting, batch_limit, scores_of, told

#: documents a request where the server does not say how many it takes: what the servers of this form take at least
USUAL_BATCH = 32
#: where a key is looked for that is not given
KEY = "LTR_API_KEY"
#: one client is opened, whichever thread comes first
_connecting = threading.Lock()
#: the first stage's weight, and its scores of each query's documents
Mixing = tuple[float, Sequence[Sequence[float]]] | None


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


class RemoteReranker:
    """Sorts documents by what the model of a server thinks of them: ``ltr serve``, or any that speaks TEI's ``/rerank``.

    Documents go out in requests as large as the server takes (``/info``), several at a time. A server that is busy (429,
    503) is asked again when it says so (``Retry-After``), as long as patience lasts; a request that is too large (413) is
    halved. Threads may share one; it can be sent to other processes.

    Args:
        url: of the server, such as ``http://127.0.0.1:8000``.
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
        self._client: Any = None
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

    # ------------------------------------------------------------------ the calls of a Reranker

    def rank(
        self,
        query: str,
        docs: Sequence[Document],
        ids: Sequence[str] | None = None,
        top_k: int | None = None,
        first_scores: Sequence[float] | None = None,
        interpolate: bool | float = False,
        probability: bool = False,
    ) -> list[Ranked]:
        """The documents, best first; see ``Reranker.rank``.

        Raises:
            DataError: see ``Reranker.rank``.
            ConfigError: see ``Reranker.rank``; ``interpolate=True``, since servers do not tell a stored weight.
            ServerError: the server cannot be reached, refuses, or answers what it should not.
        """
        check_several("docs", docs, f"docs=[{docs!r:.40}]")
        several = None if first_scores is None else [first_scores]
        own_ids = None if ids is None else [ids]
        return self.rank_many([query], [docs], own_ids, top_k, several, interpolate, probability=probability)[0]

    def rank_many(
        self,
        queries: Sequence[str],
        docs: Sequence[Sequence[Document]],
        ids: Sequence[Sequence[str]] | None = None,
        top_k: int | None = None,
        first_scores: Sequence[Sequence[float]] | None = None,
        interpolate: bool | float = False,
        progress: bool = False,
        query_ids: Sequence[str] | None = None,
        probability: bool = False,
    ) -> list[list[Ranked]]:
        """``rank`` for many queries, whose requests go out together; see ``Reranker.rank_many``."""
        mixing = _mixing(interpolate, first_scores, probability)
        lists = _texts(queries, docs, ids, first_scores, query_ids, top_k)
        slices = self._slices(queries, lists, not probability) if any(lists) else []
        found = self._sent(slices, "reranking" if progress else None)
        return _ranked(lists, slices, found, ids, top_k, mixing)

    def score(self, pairs: Sequence[tuple[str, Document]], progress: bool = False) -> np.ndarray:
        """Raw scores [pairs] float32 of (query, document) pairs, in their order."""
        queries, lists = _pairs(pairs)
        slices = self._slices(queries, lists, True) if lists else []
        found = self._sent(slices, "scoring" if progress else None)
        return np.concatenate([*found, np.zeros(0)]).astype(np.float32)

    async def arank(
        self,
        query: str,
        docs: Sequence[Document],
        ids: Sequence[str] | None = None,
        top_k: int | None = None,
        first_scores: Sequence[float] | None = None,
        interpolate: bool | float = False,
        probability: bool = False,
    ) -> list[Ranked]:
        """``rank`` that lets other tasks run while the server works."""
        check_several("docs", docs, f"docs=[{docs!r:.40}]")
        several = None if first_scores is None else [first_scores]
        own_ids = None if ids is None else [ids]
        found = await self.arank_many([query], [docs], own_ids, top_k, several, interpolate, probability=probability)
        return found[0]

    async def arank_many(
        self,
        queries: Sequence[str],
        docs: Sequence[Sequence[Document]],
        ids: Sequence[Sequence[str]] | None = None,
        top_k: int | None = None,
        first_scores: Sequence[Sequence[float]] | None = None,
        interpolate: bool | float = False,
        query_ids: Sequence[str] | None = None,
        probability: bool = False,
    ) -> list[list[Ranked]]:
        """``rank_many`` that lets other tasks run while the server works."""
        mixing = _mixing(interpolate, first_scores, probability)
        lists = _texts(queries, docs, ids, first_scores, query_ids, top_k)
        if not any(lists):
            return [[] for _ in lists]
        async with _httpx().AsyncClient(**self._options()) as client:
            if self._limit is None:
                self._limit = self._read_limit(await self._aasked(client, "GET", "/info"))
            slices = self._slices(queries, lists, not probability)
            gate = asyncio.Semaphore(self.concurrency)

            async def one(part: _Slice) -> np.ndarray:
                async with gate:
                    return await self._ascores(client, part)

            found = await asyncio.gather(*map(one, slices))
        return _ranked(lists, slices, found, ids, top_k, mixing)

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
        with _connecting:
            if self._client is None:
                self._client = _httpx().Client(**self._options())
                weakref.finalize(self, self._client.close)
            return self._client

    def _options(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        httpx = _httpx()
        limits = httpx.Limits(max_connections=self.concurrency)
        return {"base_url": self.url, "headers": headers, "timeout": self.timeout, "limits": limits}

    def _checked(self, answer: Any) -> Any:
        if answer.status_code == 200:
            return answer
        hint = f"; give api_key, or set {KEY}" if answer.status_code in (401, 403) else ""
        raise ServerError(f"RemoteReranker: {self.url} answers {answer.status_code}: {told(answer)}{hint}")

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


def _mixing(interpolate: bool | float, first_scores: Sequence[Sequence[float]] | None, probability: bool) -> Mixing:
    """(the first stage's weight, its scores), or None where nothing is mixed."""
    if interpolate is False:
        return None
    if interpolate is True:
        raise ConfigError(
            "RemoteReranker: interpolate=True needs the weight that is stored with the model, which servers do not tell; "
            "give it, such as interpolate=0.3"
        )
    if not 0 <= interpolate <= 1:
        raise ConfigError(f"RemoteReranker: interpolate must be a weight from 0 to 1, got {interpolate}")
    if probability:
        raise ConfigError(
            "RemoteReranker: probability=True is about the model's own scores, and interpolate mixes them with others; give "
            "one"
        )
    if first_scores is None:
        raise ConfigError("RemoteReranker: interpolate needs first_scores, the first stage's score of each document")
    return interpolate, first_scores


def _texts(
    queries: Sequence[str],
    docs: Sequence[Sequence[Document]],
    ids: Sequence[Sequence[str]] | None,
    first_scores: Sequence[Sequence[float]] | None,
    query_ids: Sequence[str] | None,
    top_k: int | None,
) -> list[list[str]]:
    """The texts of each query's documents, once all arguments were found to fit together."""
    if top_k is not None and top_k < 1:
        raise ConfigError(f"RemoteReranker: top_k must be at least 1, got {top_k}")
    check_several("queries", queries, "a list with one query, or rank")
    same_number("queries", len(queries), docs=docs, ids=ids, first_scores=first_scores, query_ids=query_ids)
    names = list(query_ids or map(str, range(len(queries))))
    found = []
    for i, (name, query, own) in enumerate(zip(names, queries, docs, strict=True)):
        check_query(query, name)
        check_several(f"the documents of query {name}", own, "a list of texts")
        if ids:
            check_several(f"the ids of query {name}", ids[i], "a list of ids")
        what = f"documents of query {name}"
        same_number(what, len(own), ids=ids and ids[i], first_scores=first_scores and first_scores[i])
        labels = ids[i] if ids else list(map(str, range(len(own))))
        found.append([text_of(doc, name, label) for doc, label in zip(own, labels, strict=True)])
    return found


def _pairs(pairs: Sequence[tuple[str, Document]]) -> tuple[list[str], list[list[str]]]:
    """Neighbouring pairs of one query, together."""
    for i, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2:
            raise DataError(f"RemoteReranker: pair {i} must be a query and a document, got {pair!r:.80}")
        check_query(pair[0], str(i))
    queries, lists = [], []
    numbered = enumerate(pairs)
    for query, own in groupby(numbered, key=lambda one: one[1][0]):
        queries.append(query)
        lists.append([text_of(doc, str(i), "0") for i, (_, doc) in own])
    return queries, lists


def _ranked(
    lists: Sequence[list[str]],
    slices: Sequence[_Slice],
    found: Sequence[np.ndarray],
    ids: Sequence[Sequence[str]] | None,
    top_k: int | None,
    mixing: Mixing,
) -> list[list[Ranked]]:
    """Places of each query's documents from the scores of its slices."""
    every = np.concatenate([*found, np.zeros(0)])
    ends = np.cumsum([len(texts) for texts in lists])
    results = []
    for i, (texts, end) in enumerate(zip(lists, ends, strict=True)):
        scores = every[end - len(texts) : end]
        if mixing is not None:
            scores = mixed_scores(mixing[1][i], scores, mixing[0])
        order = np.argsort(-scores, kind="stable")[:top_k]
        names = ids[i] if ids else list(map(str, range(len(texts))))
        results.append([Ranked(names[j], float(scores[j]), rank, int(j)) for rank, j in enumerate(order, 1)])
    return results
