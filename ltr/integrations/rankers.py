"""The one thing that every integration takes: a model here, or a server."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ltr.errors import ConfigError
from ltr.inference import RemoteReranker, Reranker
from ltr.inference.documents import Document
from ltr.inference.ranking import TextRanker

#: a model folder, a hub id, the address of a server, or what is open already
Model = str | os.PathLike | TextRanker


def ranker_of(model: Model) -> TextRanker:
    """What ranks: a server for an address (``http://…``), a model for a folder or hub id; what ranks already stays.

    Raises:
        ConfigError: neither; and whatever opening a model or a server's address says.
    """
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        return RemoteReranker(name) if name.startswith(("http://", "https://")) else Reranker.load(name)
    if not isinstance(model, TextRanker):
        raise ConfigError(
            f"integrations: model must be a folder, a hub id, the address of a server or a Reranker, got {model!r:.80}"
        )
    return model


def scores_of(
    ranker: TextRanker,
    queries: Sequence[str],
    docs: Sequence[Sequence[Document]],
    probability: bool = False,
    query_ids: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """The scores of each query's documents in the order in which they came, float64."""
    found = []
    for own in ranker.rank_many(queries, docs, query_ids=query_ids, probability=probability):
        scores = np.empty(len(own))
        for one in own:
            scores[one.index] = one.score
        found.append(scores)
    return found


def scores_of_rows(
    ranker: TextRanker, queries: Sequence[str], docs: Sequence[Document], probability: bool = False
) -> np.ndarray:
    """The scores of (query, document) rows in their order, float64; rows of one query go through the model together.

    Probabilities are told apart within a query.
    """
    places: dict[str, list[int]] = {}
    for i, query in enumerate(queries):
        places.setdefault(query, []).append(i)
    scores = np.empty(len(docs))
    lists = [[docs[i] for i in own] for own in places.values()]
    names = [f"of row {own[0]}" for own in places.values()]
    for own, found in zip(places.values(), scores_of(ranker, list(places), lists, probability, names), strict=True):
        scores[own] = found
    return scores
