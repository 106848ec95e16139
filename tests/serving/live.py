"""A server process of its own, for tests of what only a process can show."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.serving.asked import BODY


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Live:
    """A running server; what it says goes to a file. As a context it is killed at the end.

    Args:
        model: folder of the model, served as ``demo``.
        folder: for what it says.
        options: of ``ltr serve``; the later one of two holds.
        port: to listen on; None for a free one.
    """

    def __init__(self, model: Path, folder: Path, *options: str, port: int | None = None):
        self.port = port or free_port()
        self.said = folder / "said.txt"
        command = [sys.executable, "-m", "ltr", "serve", "--model", f"demo={model}", "--port", str(self.port)]
        command += ["--log", "json", "--workers", "2", "--precision", "32", "--max-wait", "60", *options]
        with open(self.said, "w") as said:
            self.process = subprocess.Popen(
                command, stdout=said, stderr=said, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str = "POST", path: str = "/v1/rerank", body: Any = BODY, timeout: float = 60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, None if method == "GET" else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()
        finally:
            connection.close()

    def state(self) -> int:
        try:
            return self.ask("GET", "/ready")[0]
        except OSError:
            return 0

    def wait(self, said: str = "serve: ready") -> None:
        end = time.monotonic() + 240
        while said not in self.said.read_text():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < end, self.said.read_text()
            time.sleep(0.05)

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)
