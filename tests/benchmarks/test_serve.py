"""The benchmark of servers runs on a tiny model, and the clients of it count right."""

import importlib

import pytest


@pytest.fixture
def serve(speed):
    return importlib.import_module("serve")


@pytest.mark.slow
def test_runs_small(measured, tiny_ranker):
    found, printed = measured("serve", "--quick", "--model", str(tiny_ranker))
    rows = {row["server"]: row for row in found["rows"]}
    assert set(rows) == {"ltr fp32", "ltr bf16", "sentence-transformers + FastAPI + lock"}
    assert all(row["failed"] == 0 for row in rows.values())
    assert rows["sentence-transformers + FastAPI + lock"]["moved"] < 1e-4
    assert found["five_times_as_much"]["lost"] == 0
    assert found["five_times_as_much"]["other statuses"] == 0
    assert found["exchange_and_end"] == {
        "requests": 12,
        "failed in the exchange": 0,
        "failed in the end": 0,
        "exit status": 0,
    }
    assert "| server " in printed


def test_bodies_are_the_same_for_all_servers(serve):
    asked = serve.bodies(2, 3)
    assert [len(body["documents"]) for body in asked] == [3, 3]
    assert asked == serve.bodies(2, 3)
    assert all(body["raw_scores"] for body in asked)


def test_quantiles(speed):
    load = importlib.import_module("common.load")
    assert load.quantile([], 0.5) is None
    assert load.quantile(list(range(100)), 0.99) == 99
    seen = load.Loaded()
    seen.add(200, 20, 1.5)
    seen.add(429, 20, 0.1)
    assert seen.all_seconds == [1.5]
    assert seen.codes == {200: 1, 429: 1}
