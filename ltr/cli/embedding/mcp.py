"""``ltr mcp``: a trained ranker as tools of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ltr.cli.command import at_least, talk
from ltr.cli.command import run as run_command


def mcp(
    model: str,
    dataset: str | None = None,
    depth: int = 50,
    scores: Literal["raw", "probability"] = "raw",
    transport: Literal["stdio", "streamable-http"] = "stdio",
    port: int = 8000,
) -> None:
    """Serve a trained ranker to agents by the Model Context Protocol, on standard input and output or on a local port.

    Its tool rerank sorts texts by their relevance to a query; with --dataset, its tool search finds documents with BM25 and
    reranks them. Agents start it themselves: give them this command.

    Example: ltr mcp --model runs/demo/best --dataset pydocs

    Args:
        model: folder or hub id of a cross-encoder, or the address of a server, such as http://127.0.0.1:8000.
        dataset: a collection to search: an ir-datasets id, pydocs, or a folder.
        depth: documents that BM25 finds and the model then reranks.
        scores: raw, or probabilities by the map that ltr calibrate stored with the model.
        transport: stdio, or streamable-http on 127.0.0.1.
        port: for streamable-http.
    """
    talk()
    at_least(1, depth=depth, port=port)
    from ltr.integrations.mcp import tool_server

    server = tool_server(model, dataset, depth, scores == "probability")
    if transport == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=port)


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr mcp``."""
    run_command(mcp, argv, prog="ltr mcp", short={"model": "-m"})
