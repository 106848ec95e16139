"""A server process: it becomes ready, survives rude clients, exchanges its model, and ends without losing a request."""

from __future__ import annotations

import json
import signal
import threading
import time

import pytest

from tests.serving.live import Live


@pytest.fixture(scope="module")
def live(folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("live")
    (home / "model").symlink_to(folder)
    with Live(home / "model", home) as made:
        made.home = home
        yield made


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

    def left():
        """How many left: each is told once its texts, which may still be read when nothing is queued, are dropped."""
        lines = [json.loads(line) for line in live.said.read_text().splitlines() if line.startswith("{")]
        return [line["code"] for line in lines].count(499)

    end = time.monotonic() + 60
    while left() < 3 or "ltr_queue_tokens 0.0" not in live.ask("GET", "/metrics")[1]:
        assert time.monotonic() < end
        time.sleep(0.05)
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
