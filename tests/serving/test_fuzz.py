"""Bodies that nobody would send: never a status of the server's own."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from collections import Counter
from typing import Any

import httpx
import pytest

from ltr.serving.service import Service
from ltr.serving.web.app import application
from tests.serving.wires import WIRES

FIELDS = [
    "query", "documents", "texts", "text_1", "text_2", "queries", "items", "data_1", "data_2", "property", "model", "top_n",
    "return_documents", "return_text", "rank_fields", "max_tokens_per_doc", "priority", "raw_scores", "use_activation",
    "truncate_prompt_tokens", "truncate", "truncation_direction", "first_scores", "interpolate", "instruction", "x", "",
]  # fmt: skip
TEXTS = [
    "",
    " ",
    "read a file",
    "\ud800",
    "\x00",
    "🙂",
    "a" * 300,
    "read the text " * 40,
    "[SEP] [CLS]",
    "א\u202e",
    "text",
]
NUMBERS = [0, 1, -1, 2**31, 2**63, -(10**30), 0.5, 1.5, -0.0, 1e308, 5e-324, True, False, None]
#: a header that servers let out
HEADER = re.compile(r"[!-~]([ -~]*[!-~])?")


def value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(6 if depth < 3 else 3)
    if kind < 2:
        return draw.choice(TEXTS)
    if kind == 2:
        return draw.choice(NUMBERS)
    if kind == 3:
        return {draw.choice(FIELDS): value(draw, depth + 1) for _ in range(draw.randrange(3))}
    return [value(draw, depth + 1) for _ in range(draw.randrange(4))]


def body(draw: random.Random) -> bytes:
    """A right body with some fields changed, cut or spoilt; sometimes nothing of the kind."""
    wire = draw.choice(WIRES)
    found = wire.fields(draw.choice(TEXTS), [draw.choice(TEXTS) for _ in range(draw.randrange(5))])
    for _ in range(draw.randrange(4)):
        found[draw.choice(FIELDS)] = value(draw)
    text = json.dumps(found).encode()
    if draw.random() < 0.1:
        at = draw.randrange(len(text))
        text = text[:at] + draw.choice([b"", b"\xff", b"}", b'"', b"NaN"]) + text[at + draw.randrange(3) :]
    return text


def finite(text: bytes) -> bool:
    """Whether JSON has no NaN and no infinity, which are no JSON."""
    strange: list[str] = []
    json.loads(text, parse_constant=strange.append)
    return not strange


def check(service: Service, draw: random.Random, n: int) -> Counter[int]:
    """Some at a time, straight to the application: a client of its own for each request would take most of the time."""

    async def ask() -> Counter[int]:
        codes: Counter[int] = Counter()
        bodies = ((draw.choice(WIRES).path, body(draw)) for _ in range(n))
        transport = httpx.ASGITransport(application(service, "off"), raise_app_exceptions=False)

        async def some() -> None:
            for path, sent in bodies:
                answer = await client.post(path, content=sent)
                codes[answer.status_code] += 1
                assert answer.status_code in (200, 400, 404, 413, 422), (path, sent, answer.text)
                assert finite(answer.content), sent
                assert all(HEADER.fullmatch(value) for value in answer.headers.values()), (sent, answer.headers)

        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await asyncio.gather(*(some() for _ in range(8)))
        return codes

    return asyncio.run(ask())


def test_strange_bodies(service):
    codes = check(service, random.Random(1), 400)
    assert {200, 400, 422} <= set(codes)


@pytest.mark.slow
def test_a_hundred_thousand_strange_bodies(service):
    """``LTR_FUZZ`` bodies."""
    n = int(os.environ.get("LTR_FUZZ", "100000"))
    codes = check(service, random.Random(2), n)
    print(dict(codes))
    assert codes.total() == n
