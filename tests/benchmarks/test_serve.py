"""The benchmark of servers runs on a tiny model, and the clients of it count right."""

import importlib
import shutil

import pytest

from ltr.settings.texts import ModelSettings


@pytest.fixture
def serve(speed):
    return importlib.import_module("serve")


@pytest.mark.slow
def test_runs_small(serve, measured, tiny_ranker, tmp_path):
    model = shutil.copytree(tiny_ranker, tmp_path / "ranker")
    # in its vocabulary of letters some queries have more than 64 tokens, which no other server would cut
    ModelSettings(max_length=256, max_query_length=128).write(model)
    found, printed = measured("serve", "--quick", "--model", str(model))
    rows = {row["server"]: row for row in found["rows"]}
    assert set(rows) == {"ltr fp32", "ltr bf16", "sentence-transformers + FastAPI + lock"}
    assert all(row["failed"] == 0 for row in rows.values())
    assert rows["sentence-transformers + FastAPI + lock"]["moved"] < 1e-4
    assert found["five_times_as_much"]["lost"] == 0
    assert found["five_times_as_much"]["other statuses"] == 0
    changed = found["exchange_and_end"]
    assert changed.pop("requests") >= serve.CLIENTS + 4  # how long an exchange takes is the machine's
    assert changed == {"failed in the exchange": 0, "failed in the end": 0, "exit status": 0}
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
