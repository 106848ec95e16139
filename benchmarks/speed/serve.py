"""Servers of rerankers beside each other: the same model, the same texts, equal scores.

    python benchmarks/speed/serve.py [--quick] [--requests 32] [--overload 60] [--output results.json]

Takes about 20 minutes on two idle cores. Each server runs alone on a port of this machine, with two threads. What it used is
the processor time of its process, which other work on the machine hardly changes; clocks and rates hold only beside each
other. Infinity runs in an environment of its own (``make rivals``) and is left out where there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import load, report, rivals
from common.children import environment
from common.drift import kendall
from common.model import model_folder
from common.texts import questions

CHILD = Path(__file__).parent / "common" / "serving_child.py"
#: the server that others are compared with
RIVAL = "Infinity"
BESIDE = ["ltr fp32", "ltr bf16", RIVAL, "sentence-transformers + FastAPI + lock"]
#: documents of the clients of a mixed load
MIXED = [5] * 4 + [20] * 6 + [100] * 2
CLIENTS, DOCS, MAX_WAIT = 16, 20, 5.0


class Running:
    """A server process.

    Attributes:
        url: where it reranks.
        pid: of the process.
        cold: its processor time until it was ready.
    """

    def __init__(self, way: str, model: Path, python: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [python, str(CHILD), way, str(model), str(port)]
        self._process = subprocess.Popen(
            command, env=environment(2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid, self.url = self._process.pid, f"http://127.0.0.1:{port}/rerank"
        ready = f"http://127.0.0.1:{port}/{'health' if way == RIVAL else 'ready'}"
        end = time.monotonic() + 600
        while not _answers(ready):
            if self._process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"serve: the server {way} did not start")
            time.sleep(0.1)
        self.cold = load.processor_seconds(self.pid)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def ended(self) -> int:
        """The exit status, once it has ended."""
        return self._process.wait(300)


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


@contextmanager
def running(way: str, model: Path) -> Iterator[Running]:
    """A server that is ended afterwards."""
    python = rivals.python_of("infinity") if way == RIVAL else Path(sys.executable)
    server = Running(way, model, str(python))
    try:
        yield server
    finally:
        server.signal(signal.SIGTERM)
        server.ended()


def bodies(n: int, n_docs: int, seed: int = 0) -> list[load.Body]:
    """Requests that all servers understand; none of them puts scores through a sigmoid."""
    return [
        {"query": q.query, "documents": q.docs, "model": "demo", "raw_scores": True}
        for q in questions(n, n_docs, "test", seed=seed)
    ]


def scores(server: Running, asked: list[load.Body]) -> np.ndarray:
    """[requests, documents] raw scores."""
    import httpx2

    found = np.zeros((len(asked), DOCS))
    for i, body in enumerate(asked):
        for one in httpx2.post(server.url, json=body, timeout=600).raise_for_status().json()["results"]:
            found[i, one["index"]] = one["relevance_score"]
    return found


def beside(model: Path, ways: list[str], n: int) -> list[dict[str, Any]]:
    """A row for each server: what a request takes, with many clients at once."""
    rows, asked, exact = [], bodies(n, DOCS), None
    for way in ways:
        with running(way, model) as server:
            found = scores(server, asked[:4])
            exact = found if exact is None else exact
            seen = load.closed(server.url, server.pid, asked, CLIENTS)
            rows.append(
                {
                    "server": way,
                    "processor ms": 1000 * seen.processor / n,
                    "requests/s": n / seen.clock,
                    "p50 s": load.quantile(seen.all_seconds, 0.5),
                    "p99 s": load.quantile(seen.all_seconds, 0.99),
                    "memory MB": round(load.resident_megabytes(server.pid)),
                    "cold start, processor s": server.cold,
                    "tau": kendall(exact, found),
                    "moved": float(np.abs(found - exact).max()),
                    "failed": n - seen.codes.get(200, 0),
                }
            )
            print(report.table(rows[-1:]), file=sys.stderr, flush=True)
    rival = next((row for row in rows if row["server"] == RIVAL), None)
    for row in rows:
        for name in ("processor ms", "requests/s", "p99 s", "memory MB"):
            row[f"{name} / {RIVAL}"] = row[name] / rival[name] if rival else None
    return rows


def order_of_work(model: Path, requests: int) -> list[dict[str, Any]]:
    """A row for each size of requests: the same engine by highest response ratio, and in the order of arrival."""
    pools = [bodies(max(2, requests * 20 // n_docs), n_docs, seed=i) for i, n_docs in enumerate(MIXED)]
    found = {}
    for way in ("ltr bf16", "ltr bf16, first come"):
        with running(way, model) as server:
            found[way] = load.mixed(server.url, server.pid, pools)
    rows = []
    for n_docs in sorted(set(MIXED)):
        row: dict[str, Any] = {"documents": n_docs}
        for way, seen in found.items():
            own = seen.seconds.get(n_docs, [])
            row |= {f"{way}: requests": len(own), "p50 s": load.quantile(own, 0.5), "p99 s": load.quantile(own, 0.99)}
            row = {(f"{way}: {k}" if k in ("p50 s", "p99 s") else k): v for k, v in row.items()}
        first, second = (row[f"{way}: p99 s"] for way in found)
        rows.append({**row, "p99 / first come": first / second if first and second else None})
    return rows


def overload(model: Path, seconds: float) -> dict[str, Any]:
    """Five times as many requests as the server can answer, in an open loop."""
    asked = bodies(64, DOCS, seed=3)
    with running("ltr bf16, at most 5 s", model) as server:
        rate = 16 / load.closed(server.url, server.pid, asked[:16], 4).clock
        alone = load.closed(server.url, server.pid, asked[:3], 1).all_seconds
        seen = load.opened(server.url, server.pid, asked, 5 * rate, seconds)
    return {
        "came": sum(seen.codes.values()) + seen.lost,
        "answered": seen.codes.get(200, 0),
        "told to come again (429)": seen.codes.get(429, 0),
        "other statuses": sum(n for code, n in seen.codes.items() if code not in (200, 429)),
        "lost": seen.lost,
        "p99 s of those answered": load.quantile(seen.all_seconds, 0.99),
        "max wait s": MAX_WAIT,
        "s of a request alone": max(alone),
    }


def change(model: Path, n: int) -> dict[str, Any]:
    """A load that lasts until models have been exchanged, and at the end of which the server is asked to end."""
    asked = bodies(n, DOCS, seed=4)
    with running("ltr bf16, 5 s of grace", model) as server:
        before, sent, answered = _created(server), 0, 0
        time.sleep(max(0.0, before + 1 - time.time()))  # times of loading are whole seconds: the next one differs
        server.signal(signal.SIGHUP)
        while _created(server) == before:
            if sent >= 1000 * n:
                raise SystemExit("serve: the models were not exchanged")
            answered += load.closed(server.url, server.pid, asked, CLIENTS).codes.get(200, 0)
            sent += n
        ending = bodies(CLIENTS, 100, seed=5)
        last = threading.Thread(target=_end_when_busy, args=(server,))
        last.start()
        drained = load.closed(server.url, server.pid, ending, CLIENTS)
        status = server.ended()
    return {
        "requests": sent + len(ending),
        "failed in the exchange": sent - answered,
        "failed in the end": len(ending) - drained.codes.get(200, 0),
        "exit status": status,
    }


def _end_when_busy(server: Running) -> None:
    """Ask for the end as soon as something waits."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        with urllib.request.urlopen(server.url.replace("/rerank", "/metrics"), timeout=60) as answer:
            if b"ltr_queue_tokens 0.0" not in answer.read():
                break
        time.sleep(0.01)
    server.signal(signal.SIGTERM)


def _created(server: Running) -> int:
    """When the model was loaded that serves now."""
    with urllib.request.urlopen(server.url.replace("/rerank", "/v1/models"), timeout=60) as answer:
        return json.load(answer)["data"][0]["created"]


def http_cost(model: Path, n: int) -> dict[str, float]:
    """What one client waits beyond ``Reranker.rank`` for the same documents, both taken in turn; the fastest of several."""
    import httpx2
    import torch

    from ltr import Reranker

    torch.set_num_threads(2)
    reranker = Reranker.load(model, "cpu", "32")
    asked = bodies(2, DOCS, seed=6)[1]
    with running("ltr fp32", model) as server, httpx2.Client(timeout=600) as client:
        own, served = [], []
        for _ in range(n):
            started = time.perf_counter()
            reranker.rank(asked["query"], asked["documents"])
            own.append(time.perf_counter() - started)
            started = time.perf_counter()
            client.post(server.url, json=asked).raise_for_status()
            served.append(time.perf_counter() - started)
    return {
        "Reranker.rank ms": 1000 * min(own),
        "served ms": 1000 * min(served),
        "beyond ms": 1000 * (min(served) - min(own)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, help="a folder; default: the model of all speed benchmarks, trained when needed"
    )
    parser.add_argument("--requests", type=int, default=32, help="of 20 documents to each server")
    parser.add_argument("--overload", type=float, default=120.0, help="seconds")
    parser.add_argument("--only", nargs="+", choices=["beside", "order", "overload", "change", "http"], help="parts")
    parser.add_argument("--quick", action="store_true", help="4 requests, 5 seconds")
    parser.add_argument("--output", help="keep the JSON there instead of benchmarks/results/speed/serve.json")
    args = parser.parse_args()
    n, seconds = (4, 5.0) if args.quick else (args.requests, args.overload)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    model = args.model or model_folder(steps=4 if args.quick else 300)
    ways = [way for way in BESIDE if way != RIVAL or rivals.python_of("infinity")]
    parts = {
        "beside": lambda: {"rows": beside(model, ways, n)},
        "order": lambda: {"order_of_work": order_of_work(model, n)},
        "overload": lambda: {"five_times_as_much": overload(model, seconds)},
        "change": lambda: {"exchange_and_end": change(model, n)},
        "http": lambda: {"one_client": http_cost(model, max(20, n))},
    }
    result: dict[str, Any] = {
        "what": f"requests of {DOCS} passages from {CLIENTS} clients at once, 2 threads on cpu; scores raw",
        "quick": args.quick,
        "requests": n,
    }
    for name in args.only or parts:
        result |= parts[name]()
    for value in result.values():
        if isinstance(value, list):
            print(report.table(value), end="\n\n")
    result["load"] = f"{os.getloadavg()[0]:.1f} at the end"
    report.write("serve", result, ("torch", "transformers", "fastapi", "uvicorn", "sentence-transformers"), args.output)


if __name__ == "__main__":
    main()
