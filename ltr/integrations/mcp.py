"""A tool server of the Model Context Protocol: an agent sorts texts by relevance, or searches a collection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ltr.data.tokens.pairs import readable
from ltr.errors import LtrError, MissingExtra
from ltr.inference.ranking import TextRanker
from ltr.integrations.rankers import Model, ranker_of

if TYPE_CHECKING:
    from ltr.data.collections.collection import Collection

try:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
except ImportError:
    raise MissingExtra("mcp", "mcp", "to serve tools") from None


@dataclass
class Hit:
    """One place of a ranking, as agents see it.

    Attributes:
        rank: from 1.
        score: larger is better.
        id: of the document; its place among those given, from 0, where they have no ids.
        text: of the document.
    """

    rank: int
    score: float
    id: str
    text: str


def tool_server(model: Model, dataset: str | None = None, depth: int = 50, probability: bool = False) -> MCPServer:
    """A server with the tool ``rerank``, and ``search`` where a collection is given; ``ltr mcp`` runs it.

    Args:
        model: see ``ltr.integrations.rankers.Model``.
        dataset: what ``search`` looks through: an ir-datasets id, pydocs, or a folder.
        depth: documents that BM25 finds and the model then reranks.
        probability: see ``Reranker.rank``.
    """
    ranker = ranker_of(model)
    server = MCPServer("ltr", instructions="Sorts texts by how relevant they are to a query, with a trained ranker.")

    @server.tool()
    async def rerank(query: str, documents: list[str], top_k: int | None = None) -> list[Hit]:
        """Sort documents by their relevance to a query, best first."""
        return await _ranked(ranker, query, documents, None, top_k, probability)

    if dataset is not None:
        from ltr.data.collections.collection import load

        collection = load(dataset)

        @server.tool()
        async def search(query: str, top_k: int = 10) -> list[Hit]:
            """Find the documents of the collection that are most relevant to a query, best first."""
            return await _searched(ranker, collection, query, depth, top_k, probability)

    return server


async def _searched(
    ranker: TextRanker, collection: Collection, query: str, depth: int, top_k: int, probability: bool
) -> list[Hit]:
    from ltr.data.candidates.sources import retrieve

    run = await asyncio.to_thread(retrieve, collection, {"query": query}, depth)
    ids = run["query"][0].tolist() if "query" in run else []
    texts = list(map(readable, collection.texts(ids)))
    return await _ranked(ranker, query, texts, ids, top_k, probability)


async def _ranked(
    ranker: TextRanker, query: str, texts: list[str], ids: list[str] | None, top_k: int | None, probability: bool
) -> list[Hit]:
    try:
        ranked = await ranker.arank(query, texts, ids, top_k, probability=probability)
    except LtrError as error:  # of any other error an agent is told nothing
        raise ToolError(str(error)) from error
    return [Hit(one.rank, one.score, one.id, texts[one.index]) for one in ranked]
