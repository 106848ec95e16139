"""Rankers in other processes: forked from one that has loaded and used them, or sent there."""

import contextlib
import copy
import json
import multiprocessing
import os
import pickle
import select
import signal
import threading
import time
import warnings

import numpy as np
import pytest
import torch

from ltr.inference import FeatureRanker, RemoteReranker, Reranker, remote
from ltr.inference.exports.integers import Check, Tolerance, opened, quantise
from ltr.machine import freed_memory
from ltr.scorers import AttentionScorer, CrossEncoder, FeatureSettings, ModelSettings
from ltr.scorers.cpu import quantised
from tests.packing import needs_packing
from tests.rerank_server import server  # noqa: F401
from tests.tiny_model import WORDS, save_tiny

#: enough for torch to share out single operations among threads
DOCS = [" ".join(np.random.default_rng(seed).choice(WORDS, 40)) for seed in range(64)]
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@pytest.fixture(scope="module")
def rankers(tmp_path_factory):
    """One of each kind: fused in both precisions, through transformers packed and padded, on 8 bits, on features."""
    home = tmp_path_factory.mktemp("rankers")
    torch.manual_seed(5)
    for name, kind, settings in (
        ("fused", "bert", {}),
        ("packed", "bert", {"hidden_act": "silu"}),
        ("padded", "mpnet", {}),
    ):
        model = CrossEncoder(str(save_tiny(home / f"{name}-base", kind, head=True, **settings)))
        model.save(home / name, ModelSettings(60, 20))
    exact = opened(str(home / "fused"))
    lists = [exact.reader.batch([one]) for one in _texts()]
    export = quantise(exact, lists, Tolerance(0.5), lambda values, name: values)
    export.write(home / "int8", Check(1, 1, 0, 1.0, 0.0, 1.0, None, None, 1.0, (), 3), Tolerance(0.5))
    scorer = AttentionScorer(width=8, layers=1, heads=2)
    scorer.fit_to(FeatureSettings(3, True, shift=np.ones(3), scale=np.full(3, 2.0)))
    scorer.save(home / "features", FeatureSettings())
    return {
        "32": Reranker.load(home / "fused", "cpu", "32"),
        "bf16": Reranker.load(home / "fused", "cpu", "bf16"),
        "packed": Reranker.load(home / "packed", "cpu", "32"),
        "padded": Reranker.load(home / "padded", "cpu", "bf16"),
        "int8": Reranker.load(home / "int8"),
        "features": FeatureRanker.load(home / "features", "cpu"),
    }


def _texts():
    from ltr.data.tokens.reader import Texts

    return [Texts(f"q{i}", WORDS[i], [str(j) for j in range(16)], DOCS[16 * i : 16 * i + 16]) for i in range(4)]


def scores(ranker):
    if isinstance(ranker, FeatureRanker):
        return ranker.scores(np.linspace(-1, 1, 12_000).reshape(-1, 3)).tolist()
    return ranker.score([("join two paths", doc) for doc in DOCS]).tolist()


KINDS = ("32", "bf16", "packed", "padded", "int8", "features")


@contextlib.contextmanager
def torch_threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def forked(work, seconds=20):
    """What ``work()`` gives in a forked process; None where it has given nothing after some seconds."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later: there are threads
        child = os.fork()
    if not child:
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    found = b""
    try:
        while select.select([reader], [], [], seconds)[0]:
            part = os.read(reader, 1 << 16)
            if not part:
                return json.loads(found)
            found += part
        return None
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@FORKS
def test_a_forked_process_scores_as_the_one_that_loaded_the_model(rankers):
    """A server that loads its model once and then forks workers (gunicorn --preload)."""
    with torch_threads(4):
        wanted = {kind: scores(rankers[kind]) for kind in KINDS}
        torch.randn(600, 600) @ torch.randn(600, 600)  # whatever else the server has done
        assert forked(lambda: {kind: scores(rankers[kind]) for kind in KINDS}) == wanted


@FORKS
def test_a_forked_process_can_open_and_copy_rankers(rankers):
    with torch_threads(4):
        wanted = scores(rankers["32"])
        torch.randn(600, 600) @ torch.randn(600, 600)
        folder = rankers["32"].source
        assert forked(lambda: scores(Reranker.load(folder, "cpu", "32"))) == wanted
        assert forked(lambda: scores(copy.deepcopy(rankers["32"]))) == wanted
        # and a process forked from that one
        assert forked(lambda: (scores(rankers["32"]), forked(lambda: scores(rankers["32"])))[1]) == wanted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda ranker: pickle.loads(pickle.dumps(ranker))], ids=["copy", "pickle"]
)
def test_a_copy_scores_the_same(rankers, kind, copied):
    ranker = rankers[kind]
    again = copied(ranker)
    assert scores(again) == scores(ranker)
    one, other = ({p.data_ptr() for p in r.scorer.parameters()} for r in (ranker, again))
    assert not one & other


def test_an_8_bit_model_arrives_on_a_processor_without_8_bit_products(rankers, monkeypatch):
    sent = pickle.dumps(rankers["int8"])
    monkeypatch.setattr(quantised, "multiplies_int8", lambda: False)
    arrived = pickle.loads(sent)
    np.testing.assert_allclose(scores(arrived), scores(rankers["int8"]), atol=0.1)
    monkeypatch.undo()
    assert scores(pickle.loads(pickle.dumps(arrived))) == scores(arrived), "floats stay floats"


@needs_packing
def test_a_model_makes_its_attention_known_where_it_arrives(rankers, monkeypatch):
    from ltr.scorers.text import packed

    calls, sent = [], pickle.dumps(rankers["packed"])
    monkeypatch.setattr(packed, "register", lambda: calls.append(1))
    pickle.loads(sent)
    assert calls == [1]


@FORKS
def test_a_forked_process_asks_a_server_over_connections_of_its_own(server):  # noqa: F811
    """Answers to two processes over one connection would come to whichever reads first."""
    pytest.importorskip("httpx", reason="httpx is not installed: pip install 'ltr[remote]'")
    with contextlib.closing(RemoteReranker(server.url)) as asking:
        wanted = asking.score([("join", "join")]).tolist()
        assert forked(lambda: asking.score([("join", "join")]).tolist()) == wanted
        asking.score([("join", "join")])
    own, other, again = server.connections
    assert own == again != other


@FORKS
@pytest.mark.parametrize("module", [freed_memory, remote], ids=lambda module: module.__name__)
def test_what_a_thread_holds_while_the_process_forks_is_free_in_the_other(module):
    (lock,) = (value for value in vars(module).values() if isinstance(value, type(threading.Lock())))
    taken = threading.Event()

    def hold():
        with lock:
            taken.set()
            time.sleep(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    assert forked(lambda: lock.acquire(timeout=1)) is True
    thread.join()


def _serve(rankers, results):
    results.put({kind: scores(rankers[kind]) for kind in KINDS})


@pytest.mark.slow
def test_a_process_that_starts_anew_scores_what_it_is_sent(rankers):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=_serve, args=(rankers, results))
    child.start()
    try:
        assert results.get(timeout=120) == {kind: scores(rankers[kind]) for kind in KINDS}
    finally:
        child.kill()
        child.join()
