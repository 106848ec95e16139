"""A server is asked as a model would be, and what it may say besides scores is dealt with."""

import asyncio
import pickle
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import numpy as np
import pytest

from ltr.errors import ConfigError, DataError, ServerError
from ltr.inference import Ranked, RemoteReranker, Reranker
from ltr.inference.remote_answers import retry_after
from tests.rerank_server import overlap, server  # noqa: F401

pytest.importorskip("httpx", reason="httpx is not installed: pip install 'ltr[remote]'")

QUERY = "join two paths"
DOCS = ["sort a list", "join paths", {"title": "Join", "text": "two paths"}, "", "join two paths", "join paths"]
TEXTS = ["sort a list", "join paths", "Join two paths", "", "join two paths", "join paths"]


@pytest.fixture
def remote(server):  # noqa: F811
    reranker = RemoteReranker(server.url)
    yield reranker
    reranker.close()


def test_documents_come_back_in_order_over_several_requests(remote, server):  # noqa: F811
    ranked = remote.rank(QUERY, DOCS)
    scores = [overlap(QUERY, text) for text in TEXTS]
    order = np.argsort(-np.array(scores), kind="stable")
    assert ranked == [Ranked(str(i), scores[i], rank, int(i)) for rank, i in enumerate(order, 1)]
    assert sorted(len(body["texts"]) for body in server.seen) == [2, 4]
    assert all(body["raw_scores"] and body["truncate"] for body in server.seen)
    assert [r.index for r in remote.rank(QUERY, DOCS, top_k=2)] == order[:2].tolist()
    assert next(r.id for r in remote.rank(QUERY, DOCS, ids=list("abcdef"))) == "abcdef"[order[0]]


def test_probabilities_are_those_of_the_server(remote, server):  # noqa: F811
    (best, *_) = remote.rank(QUERY, DOCS, probability=True)
    assert best.score == pytest.approx(1 / (1 + np.exp(-3)))
    assert not any(body["raw_scores"] for body in server.seen)


def test_what_the_server_warns_of_is_told_once(remote, server, caplog):  # noqa: F811
    answer = [{"index": 0, "score": 1.0}]
    server.first = [(200, {"x-warnings": text}, answer) for text in ("the query was cut", "the query was cut", "other")]
    with caplog.at_level("WARNING", logger="ltr"):
        for _ in range(3):
            remote.rank(QUERY, ["join"])
    assert [record.getMessage() for record in caplog.records] == [
        f"RemoteReranker: {server.url} warns: {text}" for text in ("the query was cut", "other")
    ]


def test_requests_at_once_tell_of_a_warning_once(remote, server, caplog):  # noqa: F811
    class Slow(set):
        def __contains__(self, one):
            found = super().__contains__(one)
            time.sleep(0.03)  # meanwhile the answers of the others come
            return found

    remote._warned = Slow()
    rows = [{"index": i, "score": 1.0} for i in range(4)]
    server.first = [(200, {"x-warnings": "the query was cut"}, rows)] * 4
    with caplog.at_level("WARNING", logger="ltr"):
        remote.rank(QUERY, ["join"] * 16)
    assert len(caplog.records) == 1


def test_many_queries_and_empty_lists(remote, server):  # noqa: F811
    found = remote.rank_many(["join", "sort"], [["a", "join"], []], ids=[["x", "y"], []])
    assert [[r.id for r in own] for own in found] == [["y", "x"], []]
    assert remote.rank_many([], []) == []
    assert remote.rank("join", []) == []
    assert len(server.seen) == 1


def test_scores_of_pairs(remote, server):  # noqa: F811
    pairs = [("join", "a"), ("join", "join"), ("sort", "sort"), ("join", "join")]
    found = remote.score(pairs)
    assert found.dtype == np.float32
    assert found.tolist() == [np.float32(overlap(*pair)) for pair in pairs]
    assert remote.score([]).shape == (0,)
    assert sorted(len(body["texts"]) for body in server.seen) == [1, 1, 2]


def test_the_async_twin_gives_the_same_while_other_tasks_run(remote, server):  # noqa: F811
    async def both():
        beats = 0

        async def beat():
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.001)

        task = asyncio.ensure_future(beat())
        server.first = [(429, {"Retry-After": "0.05"}, {"error": "busy"})]
        found = await remote.arank(QUERY, DOCS)
        many = await remote.arank_many([QUERY, "sort"], [DOCS, []])
        task.cancel()
        return found, many, beats

    found, many, beats = asyncio.run(both())
    assert found == many[0] == remote.rank(QUERY, DOCS)
    assert many[1] == []
    assert beats > 10
    assert asyncio.run(remote.arank_many([QUERY], [[]])) == [[]]


def test_the_async_twin_splits_by_the_servers_limit(server):  # noqa: F811
    remote = RemoteReranker(server.url)
    assert len(asyncio.run(remote.arank(QUERY, DOCS))) == len(DOCS)
    assert sorted(len(body["texts"]) for body in server.seen) == [2, 4]


def test_first_scores_are_mixed_as_a_model_would(remote):
    first = [3.0, 1.0, 2.0, 0.0, 5.0, 4.0]
    ranked = remote.rank(QUERY, DOCS, first_scores=first, interpolate=1.0)
    assert [r.index for r in ranked] == [4, 5, 0, 2, 1, 3]


def test_a_busy_server_is_asked_again_when_it_says(remote, server, monkeypatch):  # noqa: F811
    slept = []
    monkeypatch.setattr("ltr.inference.remote.time.sleep", slept.append)
    server.first = [(429, {"Retry-After": "7"}, {"error": "busy"}), (503, {}, "starting"), (503, {}, ""), None]
    assert len(remote.rank(QUERY, ["join"])) == 1
    assert slept == [7.0, 0.5, 1.0]


def test_patience_ends(remote, server, monkeypatch):  # noqa: F811
    slept = []
    monkeypatch.setattr("ltr.inference.remote.time.sleep", slept.append)
    server.first = [(429, {"Retry-After": "40"}, {"error": {"message": "full"}})] * 2
    with pytest.raises(ServerError, match="answers 429: full"):
        remote.rank(QUERY, ["join"])
    assert slept == [40.0]


def test_a_server_that_is_busy_at_once_again_does_not_hold_a_caller_for_ever(remote, server, monkeypatch):  # noqa: F811
    slept = []
    monkeypatch.setattr("ltr.inference.remote.time.sleep", slept.append)
    server.first = [(429, {"Retry-After": "0"}, {"error": "full"})] * 30
    assert remote.patience == 60
    remote.patience = 5.0
    with pytest.raises(ServerError, match="answers 429: full"):
        remote.rank(QUERY, ["join"])
    assert slept == [0.25] * 20  # as long as it has patience


def test_a_date_to_come_back_at():
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True)
    assert 27 < retry_after(soon) < 31
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("inf") is None


def test_a_request_that_is_too_large_is_halved(remote, server):  # noqa: F811
    server.first = [(413, {}, "too large"), (413, {}, "too large")]
    assert len(remote.rank(QUERY, DOCS[:4])) == 4
    assert [len(body["texts"]) for body in server.seen] == [4, 2, 1, 1, 2]
    wanted = remote.rank(QUERY, DOCS[:4])
    for found in (lambda: remote.rank(QUERY, DOCS[:4]), lambda: asyncio.run(remote.arank(QUERY, DOCS[:4]))):
        server.first = [(413, {}, "too large"), (413, {}, "too large")]
        assert found() == wanted  # each document has its own score still
        assert not server.first
    server.first = [(413, {}, "too large")]
    with pytest.raises(ServerError, match="answers 413: too large"):
        remote.rank(QUERY, ["one"])


def test_a_server_without_info_gets_32_at_a_time(server):  # noqa: F811
    server.limit = None
    with_none = RemoteReranker(server.url + "/rerank")
    assert len(with_none.rank(QUERY, ["join"] * 70)) == 70
    assert sorted(len(body["texts"]) for body in server.seen) == [6, 32, 32]
    with_none.close()


def test_keys_go_along(server, monkeypatch):  # noqa: F811
    given = RemoteReranker(server.url, api_key="one")
    given.rank(QUERY, ["join"])
    assert server.headers["Authorization"] == "Bearer one"
    monkeypatch.setenv("LTR_API_KEY", "two")
    found = RemoteReranker(server.url)
    found.rank(QUERY, ["join"])
    assert server.headers["Authorization"] == "Bearer two"
    server.first = [(401, {}, "")]
    with pytest.raises(ServerError, match="answers 401: Unauthorized; give api_key, or set LTR_API_KEY"):
        found.rank(QUERY, ["join"])
    given.close()
    found.close()


def test_it_can_be_sent_to_other_processes(remote):
    remote.rank(QUERY, ["join"])
    copy = pickle.loads(pickle.dumps(remote))
    assert copy.rank(QUERY, DOCS) == remote.rank(QUERY, DOCS)
    copy.close()


def test_no_torch_is_needed():
    code = "import sys; from ltr import RemoteReranker; RemoteReranker('http://127.0.0.1:1'); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_calls_have_the_same_arguments():
    import inspect

    for name in ("rank", "rank_many", "score", "arank", "arank_many"):
        here, there = (list(inspect.signature(getattr(c, name)).parameters) for c in (Reranker, RemoteReranker))
        assert here == there, name


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("<html>", "should answer in JSON, got '<html>'; is this a reranking server"),
        ([{"index": 0, "score": 1.0}], "answers without a finite score of document 1 of 2"),
        ([{"index": 0, "score": 1.0}] * 2, r"a list of index and score for 2 documents, .*document 0 has two scores"),
        ([{"index": 2, "score": 1.0}], "list of index and score for 2 documents"),
        ([{"index": -1, "score": 1.0}], "index -1 is below 0"),
        ({"results": []}, "list of index and score for 2 documents"),
        ([{"index": 0, "score": None}], "list of index and score for 2 documents"),
        ([{"index": 0, "score": 1e999}, {"index": 1, "score": 1}], "without a finite score of document 0"),
    ],
)
def test_answers_that_are_none_are_told(remote, server, answer, message):  # noqa: F811
    server.answer = answer
    with pytest.raises(ServerError, match=message):
        remote.rank(QUERY, ["a", "b"])


def test_refusals_are_told_in_the_servers_words(remote, server):  # noqa: F811
    server.first = [(422, {}, {"detail": [{"msg": "no"}]})]
    with pytest.raises(ServerError, match=r"answers 422: \[\{'msg': 'no'\}\]"):
        remote.rank(QUERY, ["a"])
    server.info = {"max_client_batch_size": 0}
    with pytest.raises(ServerError, match=r"should say under max_client_batch_size .* got 0"):
        RemoteReranker(server.url).rank(QUERY, ["a"])


def test_a_server_that_is_not_there_is_told():
    with pytest.raises(ServerError, match=r"127.0.0.1:9 cannot be reached \(ConnectError: .*is the server running"):
        RemoteReranker("http://127.0.0.1:9").rank(QUERY, ["a"])
    with pytest.raises(ServerError, match="cannot be reached"):
        asyncio.run(RemoteReranker("http://127.0.0.1:9").arank(QUERY, ["a"]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"docs": "one text"}, DataError, r"docs must be a sequence, got 'one text'; give docs=\['one text'\]"),
        ({"query": " "}, DataError, "query 0 must be a text that is not empty, got ' '"),
        ({"docs": [3]}, DataError, "document 0 of query 0 must be a string"),
        ({"docs": ["\ud800"]}, DataError, "half of a surrogate pair"),
        ({"ids": ["a"]}, DataError, "ids must have one entry for each of the 2 documents of query 0, got 1"),
        ({"ids": "ab"}, DataError, "the ids of query 0 must be a sequence"),
        ({"top_k": 0}, ConfigError, "top_k must be at least 1, got 0"),
        ({"interpolate": True}, ConfigError, "weight that is stored with the model, which servers do not tell"),
        ({"interpolate": 2.0}, ConfigError, "interpolate must be a weight from 0 to 1, got 2.0"),
        ({"interpolate": 0.5}, ConfigError, "interpolate needs first_scores"),
        ({"interpolate": 0.5, "probability": True}, ConfigError, "mixes them with others; give one"),
    ],
)
def test_bad_input_is_told_before_anything_is_sent(arguments, error, message):
    """Nothing listens at that address."""
    remote = RemoteReranker("http://127.0.0.1:9")
    given = {"query": QUERY, "docs": ["a", "b"], **arguments}
    with pytest.raises(error, match=message):
        remote.rank(**given)
    with pytest.raises(error, match=message):
        asyncio.run(remote.arank(**given))


def test_pairs_and_settings_that_are_none_are_told():
    with pytest.raises(DataError, match="pair 0 must be a query and a document, got 'ab'"):
        RemoteReranker("http://127.0.0.1:9").score(["ab"])
    with pytest.raises(ConfigError, match="url must begin with http:// or https://, got 'localhost'"):
        RemoteReranker("localhost")
    with pytest.raises(ConfigError, match=r"concurrency must be at least 1, .*, got 0, 60.0 and 120.0"):
        RemoteReranker("http://127.0.0.1:9", concurrency=0)


def test_httpx_is_an_extra(monkeypatch):
    from ltr.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtra, match=r"httpx is needed to ask a server, .* pip install 'ltr\[remote\]'"):
        RemoteReranker("http://127.0.0.1:9")
