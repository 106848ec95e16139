"""LlamaIndex: a node postprocessor that keeps the retriever's scores."""

from __future__ import annotations

from typing import Any

from ltr.errors import ConfigError, MissingExtra
from ltr.inference import Ranked
from ltr.inference.ranking import TextRanker
from ltr.integrations.rankers import ranker_of

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
except ImportError:
    raise MissingExtra("llama-index-core", "llama-index", "to rank its nodes") from None

dispatcher = get_dispatcher(__name__)


class LtrRerank(BaseNodePostprocessor):
    """Reranks nodes; copies come back with the new score, and the retriever's under ``retrieval_score`` of their metadata.

    Args:
        model: see ``ltr.integrations.rankers.Model``.
        top_n: return only so many; None for all.
        probability: see ``Reranker.rank``.
        metadata_mode: which of a node's metadata the model reads before its text; none by default, as in training.
    """

    model: Any = Field(exclude=True)
    top_n: int | None = Field(default=None, ge=1)
    probability: bool = False
    metadata_mode: MetadataMode = MetadataMode.NONE
    _ranker: TextRanker = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._ranker = ranker_of(self.model)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows it."""
        return "LtrRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, texts = self._begun(nodes, query_bundle)
        ranked = self._ranker.rank(query, texts, None, self.top_n, probability=self.probability) if nodes else []
        return self._ended(nodes, ranked)

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, texts = self._begun(nodes, query_bundle)
        ranked = await self._ranker.arank(query, texts, None, self.top_n, probability=self.probability) if nodes else []
        return self._ended(nodes, ranked)

    def _begun(self, nodes: list[NodeWithScore], bundle: QueryBundle | None) -> tuple[str, list[str]]:
        if bundle is None:
            raise ConfigError("LtrRerank: a query is needed to rank by; give query_bundle or query_str")
        top_n = len(nodes) if self.top_n is None else self.top_n
        dispatcher.event(ReRankStartEvent(query=bundle, nodes=nodes, top_n=top_n, model_name=str(self.model)))
        return bundle.query_str, [node.node.get_content(metadata_mode=self.metadata_mode) for node in nodes]

    def _ended(self, nodes: list[NodeWithScore], ranked: list[Ranked]) -> list[NodeWithScore]:
        found = [_scored(nodes[one.index], one.score) for one in ranked]
        dispatcher.event(ReRankEndEvent(nodes=found))
        return found


def _scored(given: NodeWithScore, score: float) -> NodeWithScore:
    before = {} if given.score is None else {"retrieval_score": given.score}
    node = given.node.model_copy(update={"metadata": {**given.node.metadata, **before}})
    # what is kept for the reader must reach neither an embedding nor a language model
    node.excluded_embed_metadata_keys = [*node.excluded_embed_metadata_keys, *before]
    node.excluded_llm_metadata_keys = [*node.excluded_llm_metadata_keys, *before]
    return NodeWithScore(node=node, score=score)
