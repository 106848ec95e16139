"""``TextRanker``: the calls that a model here and a server share, awaited or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.inference.documents import (
    Document,
    Ranked,
    check_query,
    check_several,
    mixed_scores,
    same_number,
    text_of,
)


class Lists(NamedTuple):
    """Queries with their documents, checked.

    Attributes:
        names: of the queries, in error messages.
        queries: their texts.
        ids: of each query's documents.
        texts: of each query's documents.
    """

    names: list[str]
    queries: Sequence[str]
    ids: list[list[str]]
    texts: list[list[str]]


class TextRanker(ABC):
    """Sorts documents by scores of (query, document) texts; what gives them implements the abstract methods.

    Note:
        Equal scores keep the order of the input.
    """

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
        """The documents, best first.

        Args:
            query: must not be empty.
            docs: texts, or mappings with ``text`` and perhaps ``title``; an empty text is ranked by what the model
                makes of the query alone.
            ids: one per document, returned with it.
            top_k: return only so many.
            first_scores: the first stage's score of each document, for ``interpolate``.
            interpolate: mix both scores, each spread over [0, 1] within the query: True at the weight stored
                with the model (which servers do not tell), a number as the first stage's weight.
            probability: give probabilities of relevance instead of raw scores, in the same order: by the map that
                ``ltr calibrate`` stored with the model, else by the sigmoid.

        Raises:
            DataError: an empty query, a document that is no text, numbers of documents, ids and scores that differ.
            ConfigError: interpolation without a weight or without first-stage scores, or of probabilities; top_k below 1.
            ServerError: a server cannot be reached, refuses, or answers what it should not.
        """
        check_several("docs", docs, f"docs=[{docs!r:.40}]")
        own_ids, several = None if ids is None else [ids], None if first_scores is None else [first_scores]
        return self.rank_many([query], [docs], own_ids, top_k, several, interpolate, probability=probability)[0]

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
        """``rank`` that lets other tasks run meanwhile."""
        check_several("docs", docs, f"docs=[{docs!r:.40}]")
        own_ids, several = None if ids is None else [ids], None if first_scores is None else [first_scores]
        found = await self.arank_many([query], [docs], own_ids, top_k, several, interpolate, probability=probability)
        return found[0]

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
        """``rank`` for many queries at once, which is faster; arguments hold one entry per query.

        Args:
            progress: show a progress bar.
            query_ids: names of the queries in error messages; their numbers by default.
        """
        weight = self._weight(interpolate, first_scores, probability, top_k)
        lists = _lists(queries, docs, ids, first_scores, query_ids)
        scores = self.scores_of_lists(lists, probability, progress)
        return self._ranked(lists, scores, top_k, weight, first_scores, probability)

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
        """``rank_many`` that lets other tasks run meanwhile."""
        weight = self._weight(interpolate, first_scores, probability, top_k)
        lists = _lists(queries, docs, ids, first_scores, query_ids)
        scores = await self.ascores_of_lists(lists, probability)
        return self._ranked(lists, scores, top_k, weight, first_scores, probability)

    @abstractmethod
    def score(self, pairs: Sequence[tuple[str, Document]], progress: bool = False) -> np.ndarray:
        """Raw scores [pairs] float32 of (query, document) pairs, in their order."""

    @abstractmethod
    def scores_of_lists(self, lists: Lists, probability: bool, progress: bool) -> list[np.ndarray]:
        """The scores of each query's documents, in their order, by which they are sorted.

        Args:
            lists: what is scored.
            probability: whether probabilities are to be shown.
            progress: show a progress bar.
        """

    @abstractmethod
    async def ascores_of_lists(self, lists: Lists, probability: bool) -> list[np.ndarray]:
        """``scores_of_lists`` that lets other tasks run meanwhile."""

    @abstractmethod
    def stored_weight(self) -> float:
        """The first stage's weight that ``interpolate=True`` means.

        Raises:
            ConfigError: none is known.
        """

    def shown(self, scores: np.ndarray, probability: bool) -> np.ndarray:
        """What stands in the ranking instead of the scores of one query's documents."""
        return scores

    def checked_pairs(self, pairs: Sequence[tuple[str, Document]]) -> Sequence[tuple[str, Document]]:
        """Raise DataError unless each is a query and a document."""
        for i, pair in enumerate(pairs):
            if isinstance(pair, str) or len(pair) != 2:
                raise DataError(f"{type(self).__name__}: pair {i} must be a query and a document, got {pair!r:.80}")
        return pairs

    def _weight(
        self, interpolate: bool | float, first_scores: object, probability: bool, top_k: int | None
    ) -> float | None:
        """The first stage's weight, or None where nothing is mixed."""
        name = type(self).__name__
        if top_k is not None and top_k < 1:
            raise ConfigError(f"{name}: top_k must be at least 1, got {top_k}")
        if interpolate is False:
            return None
        weight = self.stored_weight() if interpolate is True else float(interpolate)
        if not 0 <= weight <= 1:
            raise ConfigError(f"{name}: interpolate must be a weight from 0 to 1, got {weight}")
        if probability:
            raise ConfigError(
                f"{name}: probability=True is about the model's own scores, and interpolate mixes them with others; give one"
            )
        if first_scores is None:
            raise ConfigError(f"{name}: interpolate needs first_scores, the first stage's score of each document")
        return weight

    def _ranked(
        self,
        lists: Lists,
        found: Sequence[np.ndarray],
        top_k: int | None,
        weight: float | None,
        first_scores: Sequence[Sequence[float]] | None,
        probability: bool,
    ) -> list[list[Ranked]]:
        results = []
        for i, (ids, own) in enumerate(zip(lists.ids, found, strict=True)):
            scores = own.astype(np.float64)
            if weight is not None and first_scores is not None:
                scores = mixed_scores(first_scores[i], scores, weight)
            order = np.argsort(-scores, kind="stable")[:top_k]
            scores = self.shown(scores, probability)
            results.append([Ranked(ids[j], float(scores[j]), rank, int(j)) for rank, j in enumerate(order, 1)])
        return results


def _lists(
    queries: Sequence[str],
    docs: Sequence[Sequence[Document]],
    ids: Sequence[Sequence[str]] | None,
    first_scores: Sequence[Sequence[float]] | None,
    query_ids: Sequence[str] | None,
) -> Lists:
    """All arguments, once they were found to fit together."""
    check_several("queries", queries, "a list with one query, or rank")
    same_number("queries", len(queries), docs=docs, ids=ids, first_scores=first_scores, query_ids=query_ids)
    lists = Lists(list(query_ids or map(str, range(len(queries)))), queries, [], [])
    for i, (name, query, own) in enumerate(zip(lists.names, queries, docs, strict=True)):
        check_query(query, name)
        check_several(f"the documents of query {name}", own, "a list of texts")
        if ids:
            check_several(f"the ids of query {name}", ids[i], "a list of ids")
        what = f"documents of query {name}"
        same_number(what, len(own), ids=ids and ids[i], first_scores=first_scores and first_scores[i])
        lists.ids.append(list(ids[i]) if ids else list(map(str, range(len(own)))))
        lists.texts.append([text_of(doc, name, label) for doc, label in zip(own, lists.ids[i], strict=True)])
    return lists
