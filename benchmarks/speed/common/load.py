"""Clients that load a server on this machine: in a closed loop, with mixed sizes, in an open loop; and what the server used."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

Body = dict[str, Any]


def processor_seconds(pid: int) -> float:
    """Of a process, all of its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    """Memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which a share of them lies; None where there are none.

    >>> quantile([3.0, 1.0, 2.0, 4.0], 0.5)
    3.0
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


@dataclass
class Loaded:
    """What clients saw: seconds of the answers, by number of documents, and the statuses of all."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    codes: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    clock: float = 0.0
    processor: float = 0.0

    def add(self, code: int, n_docs: int, seconds: float) -> None:
        """Note an answer."""
        self.codes[code] = self.codes.get(code, 0) + 1
        if code == 200:
            self.seconds.setdefault(n_docs, []).append(seconds)

    @property
    def all_seconds(self) -> list[float]:
        """Of all answers with status 200."""
        return [one for several in self.seconds.values() for one in several]


async def ask(client: httpx2.AsyncClient, url: str, body: Body, seen: Loaded) -> None:
    """One request; a connection that breaks is a request that is lost."""
    started = time.perf_counter()
    try:
        answer = await client.post(url, json=body)
        seen.add(answer.status_code, len(body["documents"]), time.perf_counter() - started)
    except httpx2.HTTPError:
        seen.lost += 1


def closed(url: str, pid: int, bodies: Sequence[Body], clients: int) -> Loaded:
    """Each of some clients sends its next request when the last came back, until all bodies are sent."""
    left = list(reversed(bodies))

    async def one(client: httpx2.AsyncClient, seen: Loaded) -> None:
        while left:
            await ask(client, url, left.pop(), seen)

    return _measured(pid, clients, lambda client, seen: [one(client, seen) for _ in range(clients)])


def mixed(url: str, pid: int, pools: Sequence[Sequence[Body]]) -> Loaded:
    """A client for each pool of bodies, in a closed loop with short pauses, until one pool in three is sent."""
    ends = asyncio.Event()
    done = 0

    async def one(client: httpx2.AsyncClient, seen: Loaded, pool: Sequence[Body]) -> None:
        nonlocal done
        for body in pool:
            if ends.is_set():
                return
            await ask(client, url, body, seen)
            await asyncio.sleep(0.05)
        done += 1
        if done >= len(pools) / 3:
            ends.set()

    return _measured(pid, len(pools), lambda client, seen: [one(client, seen, pool) for pool in pools])


def opened(url: str, pid: int, bodies: Sequence[Body], rate: float, seconds: float) -> Loaded:
    """Requests come at random times, whatever has become of those before them."""
    draw = random.Random(5)

    async def come(client: httpx2.AsyncClient, seen: Loaded) -> None:
        end, sent = time.perf_counter() + seconds, []
        while time.perf_counter() < end and len(sent) < 20_000:
            sent.append(asyncio.ensure_future(ask(client, url, draw.choice(bodies), seen)))
            await asyncio.sleep(draw.expovariate(rate))
        await asyncio.gather(*sent)

    return _measured(pid, 2000, lambda client, seen: [come(client, seen)])


def _measured(pid: int, connections: int, work: Any) -> Loaded:
    async def run() -> Loaded:
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        async with httpx2.AsyncClient(limits=limits, timeout=1200) as client:
            seen = Loaded()
            before, started = processor_seconds(pid), time.perf_counter()
            await asyncio.gather(*work(client, seen))
            seen.clock, seen.processor = time.perf_counter() - started, processor_seconds(pid) - before
            return seen

    return asyncio.run(run())
