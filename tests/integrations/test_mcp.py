"""The tools that agents see, by a client of the protocol."""

import asyncio
import json
import subprocess
import sys

import pytest

from tests.conftest import QUERIES, write_tiny
from tests.rerank_server import overlap

pytest.importorskip("mcp.server", reason="mcp is not installed: pip install 'ltr[mcp]'")

from mcp import Client

from ltr.integrations.mcp import tool_server

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def called(server, tool, arguments):
    async def ask():
        async with Client(server) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            return names, await client.call_tool(tool, arguments)

    return asyncio.run(ask())


def test_texts_are_sorted(server):
    docs = ["sort a list", "join paths"]
    names, answer = called(tool_server(server.url), "rerank", {"query": "join two paths", "documents": docs})
    assert names == ["rerank"]
    hits = answer.structured_content["result"]
    assert [(hit["rank"], hit["id"], hit["text"]) for hit in hits] == [(1, "1", docs[1]), (2, "0", docs[0])]
    assert hits[0]["score"] == overlap("join two paths", docs[1])
    _, answer = called(tool_server(server.url), "rerank", {"query": "join", "documents": []})
    assert answer.structured_content["result"] == []


def test_a_collection_is_searched(reranker, tmp_path):
    tools = tool_server(reranker, str(write_tiny(tmp_path / "tiny")), probability=True)
    names, answer = called(tools, "search", {"query": QUERIES["q3"], "top_k": 1})
    assert names == ["rerank", "search"]
    (hit,) = answer.structured_content["result"]
    assert (hit["id"], hit["rank"]) == ("d5", 1)
    assert 0 < hit["score"] < 1
    _, answer = called(tools, "search", {"query": "xyzzy"})
    assert answer.structured_content["result"] == []


def test_bad_input_is_told_to_the_agent(reranker):
    _, answer = called(tool_server(reranker), "rerank", {"query": " ", "documents": ["a"]})
    assert answer.is_error
    assert "query 0 must be a text that is not empty" in answer.content[0].text


def test_the_command_speaks_the_protocol_on_standard_output(model_folder):
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
    }
    command = [sys.executable, "-m", "ltr", "mcp", "--model", str(model_folder)]
    found = subprocess.run(command, input=json.dumps(hello) + "\n", capture_output=True, text=True, timeout=120)
    (line,) = found.stdout.splitlines()
    assert json.loads(line)["result"]["serverInfo"]["name"] == "ltr"
