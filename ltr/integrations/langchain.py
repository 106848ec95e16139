"""LangChain: a document compressor that keeps scores, and a cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ltr.errors import MissingExtra
from ltr.inference import Ranked
from ltr.inference.ranking import TextRanker
from ltr.integrations.rankers import Model, ranker_of

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.cross_encoders import BaseCrossEncoder
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, Field, PrivateAttr
except ImportError:
    raise MissingExtra("langchain-core", "langchain", "to rank in its chains") from None


class LtrCompressor(BaseDocumentCompressor):
    """Reranks what a retriever found; each document comes back as a copy with its score under ``relevance_score``.

    For ``ContextualCompressionRetriever``, or called by itself.

    Args:
        model: see ``ltr.integrations.rankers.Model``.
        top_n: return only so many; None for all.
        probability: see ``Reranker.rank``.
        threshold: leave out documents whose score is below; of use with probabilities of a calibrated model.
    """

    model: Any
    top_n: int | None = Field(default=None, ge=1)
    probability: bool = False
    threshold: float | None = None
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
    _ranker: TextRanker = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._ranker = ranker_of(self.model)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents, best first."""
        texts = [doc.page_content for doc in documents]
        return self._copies(documents, self._ranker.rank(query, texts, None, self.top_n, probability=self.probability))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """``compress_documents`` that lets other tasks run meanwhile."""
        texts = [doc.page_content for doc in documents]
        ranked = await self._ranker.arank(query, texts, None, self.top_n, probability=self.probability)
        return self._copies(documents, ranked)

    def _copies(self, documents: Sequence[Document], ranked: list[Ranked]) -> list[Document]:
        kept = [one for one in ranked if self.threshold is None or one.score >= self.threshold]
        return [_scored(documents[one.index], one.score) for one in kept]


class LtrCrossEncoder(BaseCrossEncoder):
    """Scores pairs of texts, for what asks for a cross-encoder (``CrossEncoderReranker``, which drops the scores).

    Args:
        model: see ``ltr.integrations.rankers.Model``.
    """

    def __init__(self, model: Model):
        self.ranker = ranker_of(model)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Raw scores of (query, document) pairs, in their order."""
        return self.ranker.score(text_pairs).tolist()


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score}})
