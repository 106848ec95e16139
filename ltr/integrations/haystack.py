"""Haystack: a ranker component."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ltr.errors import ConfigError, MissingExtra
from ltr.inference import Ranked
from ltr.inference.ranking import TextRanker
from ltr.integrations.rankers import Model, ranker_of

try:
    from haystack import Document, component, default_from_dict, default_to_dict
except ImportError:
    raise MissingExtra("haystack-ai", "haystack", "to rank in its pipelines") from None


@component
class LtrRanker:
    """Reranks documents; copies come back with the new score, and the retriever's under ``retrieval_score`` of their meta.

    Args:
        model: see ``ltr.integrations.rankers.Model``; opened by ``warm_up``, or by the first call.
        top_k: return only so many; None for all.
        probability: see ``Reranker.rank``.
    """

    def __init__(self, model: Model, top_k: int | None = None, probability: bool = False):
        if top_k is not None and top_k < 1:
            raise ConfigError(f"LtrRanker: top_k must be at least 1, got {top_k}")
        self.model, self.top_k, self.probability = model, top_k, probability
        self._ranker: TextRanker | None = None

    def warm_up(self) -> None:
        """Open the model."""
        self._opened()

    def _opened(self) -> TextRanker:
        if self._ranker is None:
            self._ranker = ranker_of(self.model)
        return self._ranker

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """The documents, best first."""
        texts, wanted = self._given(documents, top_k)
        return _ended(documents, self._opened().rank(query, texts, None, wanted, probability=self.probability))

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """``run`` that lets other tasks run meanwhile."""
        texts, wanted = self._given(documents, top_k)
        return _ended(documents, await self._opened().arank(query, texts, None, wanted, probability=self.probability))

    def _given(self, documents: list[Document], top_k: int | None) -> tuple[list[str], int | None]:
        return [doc.content or "" for doc in documents], self.top_k if top_k is None else top_k

    def to_dict(self) -> dict[str, Any]:
        """What a pipeline is saved with."""
        if not isinstance(self.model, str):
            raise ConfigError(
                f"LtrRanker: only a model that was given by its folder, hub id or address can be saved, got {self.model!r:.80}"
            )
        return default_to_dict(self, model=self.model, top_k=self.top_k, probability=self.probability)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LtrRanker:
        """The component of a saved pipeline."""
        return default_from_dict(cls, data)


def _ended(documents: list[Document], ranked: list[Ranked]) -> dict[str, list[Document]]:
    return {"documents": [_scored(documents[one.index], one.score) for one in ranked]}


def _scored(document: Document, score: float) -> Document:
    before = {} if document.score is None else {"retrieval_score": document.score}
    return replace(document, score=score, meta={**document.meta, **before})
