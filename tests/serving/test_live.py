"""A server process: it becomes ready, survives rude clients, exchanges its model, and ends without losing a request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

BODY = {"query": "join paths", "documents": ["join two paths", "sort a list"]}


class Live:
    """A running server; what it says goes to a file."""

    def __init__(self, model, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.said = folder / "said.txt"
        command = [sys.executable, "-m", "ltr", "serve", "--model", f"demo={model}", "--port", str(self.port)]
        command += ["--log", "json", "--workers", "2", "--precision", "32", "--max-wait", "60"]
        with open(self.said, "w") as said:
            self.process = subprocess.Popen(
                command, stdout=said, stderr=said, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )

    def ask(self, method: str = "POST", path: str = "/v1/rerank", body=BODY, timeout: float = 60):
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


@pytest.fixture(scope="module")
def live(folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("live")
    (home / "model").symlink_to(folder)
    made = Live(home / "model", home)
    made.home = home
    yield made
    if made.process.poll() is None:
        made.process.kill()
    made.process.wait()


def test_it_is_not_ready_until_it_is(live):
    seen = set()
    while live.process.poll() is None and live.state() != 200:
        seen.add(live.state())
        time.sleep(0.05)
    assert live.state() == 200
    assert seen <= {0, 503, 200}
    status, answer = live.ask()
    assert status == 200
    assert len(answer["results"]) == 2


def test_clients_that_leave_or_are_slow_or_send_too_much(live):
    many = {"query": "q", "documents": ["read the text " * 20] * 900}
    text = json.dumps(many).encode()
    head = b"POST /rerank HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    for _ in range(3):  # leaves while it is computed
        with live.raw() as leaving:
            leaving.sendall(head % len(text) + text)
            time.sleep(0.05)
    with live.raw() as half:  # leaves in the middle of its body
        half.sendall(head % len(text) + text[:1000])
    with live.raw() as slow, live.raw() as large:
        slow.sendall(head % 40)
        for byte in json.dumps({"query": "q", "documents": []}).encode().ljust(40):
            slow.sendall(bytes([byte]))
        assert live.ask()[0] == 200  # nobody waits for it
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        large.sendall(head % (2 * 2**30) + b"{" * 1000)
        assert large.recv(100).startswith(b"HTTP/1.1 413")
        assert not large.recv(10_000).endswith(b"HTTP")
    with live.raw() as rude:
        rude.sendall(b"no HTTP at all\r\n\r\n")
        assert rude.recv(100).startswith(b"HTTP/1.1 400")
    end = time.monotonic() + 60
    while "ltr_queue_tokens 0.0" not in live.ask("GET", "/metrics")[1]:  # what they asked for is dropped
        assert time.monotonic() < end
        time.sleep(0.05)
    lines = [json.loads(line) for line in live.said.read_text().splitlines() if line.startswith("{")]
    assert [line["code"] for line in lines].count(499) >= 3
    assert "read the text" not in live.said.read_text()


def test_sighup_exchanges_the_model(live, other_folder):
    before = live.ask()[1]["results"]
    (live.home / "model").unlink()
    (live.home / "model").symlink_to(other_folder)
    live.process.send_signal(signal.SIGHUP)
    live.wait("serve: exchanged")
    assert live.ask()[1]["results"] != before


def test_sigterm_answers_what_has_come_and_ends_well(live):
    body = {"query": "q", "documents": ["read the text " * 10] * 200}
    found: list[int] = []
    asking = [threading.Thread(target=lambda: found.append(live.ask(body=body)[0])) for _ in range(4)]
    count = '"path": "/v1/rerank"'
    for thread in asking:
        thread.start()
    end = time.monotonic() + 30
    while "ltr_queue_tokens 0.0" in live.ask("GET", "/metrics")[1] and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)  # until all of them are accepted
    live.process.send_signal(signal.SIGTERM)
    for thread in asking:
        thread.join()
    assert found == [200] * 4
    assert live.process.wait(60) == 0
    assert count in live.said.read_text()
    assert "Traceback" not in live.said.read_text()
