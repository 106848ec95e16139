"""A server that is killed under load and started anew: clients lose what was on its way, and nothing else."""

from __future__ import annotations

import http.client
import threading
import time

import numpy as np
import pytest

from tests.serving.live import Live

QUERY = "join two paths"
DOCS = [f"read the text {'of a file ' * n}" for n in range(30)]


@pytest.mark.slow
def test_killed_and_started_again_under_load(folder, tmp_path, reranker):
    wanted = reranker.score([(QUERY, text) for text in DOCS])
    # (when it was asked, the scores, or None where the server was not there or not ready)
    seen: list[tuple[float, np.ndarray | None]] = []
    over = threading.Event()

    def ask(live: Live) -> None:
        body = {"text_1": QUERY, "text_2": DOCS, "raw_scores": True}
        while not over.is_set():
            begin = time.monotonic()
            try:
                status, answer = live.ask("POST", "/v1/score", body)
            except (OSError, http.client.HTTPException):
                status, answer = 503, None
            assert status in (200, 503)
            found = np.array([one["score"] for one in answer["data"]]) if status == 200 else None
            seen.append((begin, found))
            time.sleep(0 if found is not None else 0.05)

    def answered_after(begin: float, n: int) -> None:
        end = time.monotonic() + 240
        while sum(when > begin and found is not None for when, found in seen) < n:
            assert time.monotonic() < end
            time.sleep(0.05)

    with Live(folder, tmp_path) as first:
        first.wait()
        clients = [threading.Thread(target=ask, args=(first,), daemon=True) for _ in range(6)]
        for client in clients:
            client.start()
        answered_after(0, 20)
        killed = time.monotonic()
    with Live(folder, tmp_path, port=first.port) as second:
        answered_after(killed, 20)
        over.set()
        for client in clients:
            client.join(60)
        assert not any(client.is_alive() for client in clients)
        lost = sum(when < killed and found is None for when, found in seen)
        assert 1 <= lost <= len(clients), "what was on its way, one for each client at most"
        for _, found in seen:
            if found is not None:
                np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert "ltr_queue_tokens 0.0" in second.ask("GET", "/metrics")[1]
        assert "Traceback" not in second.said.read_text()
