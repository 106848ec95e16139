"""Queries that are documents of their collection (BEIR's ArguAna and Quora): no finds, no negatives, no misses."""

import json

import numpy as np
import pytest

from ltr.cli.main import main
from ltr.data.candidates.mining import Mining, mine
from ltr.data.candidates.selves import selves, without_selves
from ltr.data.candidates.sources import candidates, retrieve
from ltr.data.collections.check import check
from ltr.data.collections.collection import load
from ltr.data.lists.sampling import Sampling
from ltr.data.text.train_parts import train_part
from ltr.io.trec import Run, read_run, write_run
from ltr.metrics import evaluate
from tests.search.conftest import bi_encoder  # noqa: F401
from tests.tiny_model import tiny_model  # noqa: F401

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """12 documents, the first 6 of which are asked for their like; t0 is judged relevant to itself."""
    folder, drawn = tmp_path_factory.mktemp("questions"), np.random.default_rng(0)
    docs = {f"t{i}": " ".join(drawn.choice(WORDS, 6)) for i in range(12)}
    rows = ({"doc_id": d, "title": "A question", "text": f"{text}?"} for d, text in docs.items())
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "queries.tsv").write_text("".join(f"t{i}\t{docs[f't{i}']}\n" for i in range(6)))
    judged = [f"t{i} 0 t{i + 6} 1\n" for i in range(6)]
    (folder / "qrels.test.trec").write_text("".join([*judged, "t0 0 t0 1\n"]))
    return load(f"{folder}/test")


def test_ids_alone_say_nothing(questions, tiny_folder):
    assert selves(questions) == {f"t{i}" for i in range(6)}
    assert selves(questions, {"t1": "other words", "x": "alpha"}) == frozenset()
    assert selves(load(tiny_folder)) == frozenset()


def test_few_among_many_queries_are_met(tmp_path):
    """Such as one in a hundred of a collection that was put together from others."""
    docs = {f"d{i}": f"{i} beta" for i in range(400)}
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"doc_id": d, "text": t}) + "\n" for d, t in docs.items()))
    asked = {d: text if i in (101, 303) else f"what of {text}, and why" for i, (d, text) in enumerate(docs.items())}
    (tmp_path / "queries.tsv").write_text("".join(f"{q}\t{text}\n" for q, text in asked.items()))
    (tmp_path / "qrels.test.trec").write_text("d1 0 d2 1\n")
    collection = load(f"{tmp_path}/test")
    assert selves(collection, asked) == {"d101", "d303"}


def test_a_check_tells_of_them(questions, tiny_folder):
    assert ("  documents too", "6 (t0, t1, t2, …) are documents of the collection") in [
        (what, said.partition(":")[0]) for what, said in check(questions).lines
    ]
    assert "documents too" not in str(check(load(tiny_folder)))


def test_what_is_found_is_never_the_query_itself(questions, caplog):
    found = retrieve(questions, k=4)
    for query_id in questions.queries:
        docs = found[query_id][0].tolist()
        assert len(docs) == 4
        assert (query_id in docs) == (query_id == "t0")
    assert "5 of 6 queries are documents of it, such as t1: they are left out" in caplog.text
    assert candidates(questions, "bm25", 4).to_dict() == found.to_dict()
    own = Run.from_dict({"t1": {"t1": 2.0, "t3": 1.0, "t4": 0.5}, "t2": {"t1": 1.0}})
    assert without_selves(own, selves(questions), questions, 1).to_dict() == {"t1": {"t3": 1.0}, "t2": {"t1": 1.0}}


def test_no_negative_is_the_query_itself(questions):
    run = Run.from_dict({q: dict.fromkeys(["t1", "t2", "t3", "t8"], 1.0) for q in questions.queries})
    mined = mine(questions, run, Mining(skip=0))
    assert mined.fell["the query itself"] == 3
    assert all(query_id != negative for query_id, _, negative in mined.triples())


@pytest.mark.parametrize("in_batch", [False, True])
def test_no_training_list_holds_the_query_itself(questions, tmp_path, in_batch):
    write_run(
        tmp_path / "run.trec", Run.from_dict({q: dict.fromkeys(["t1", "t2", "t8"], 1.0) for q in questions.queries})
    )
    sampling = Sampling(docs_per_list=3, top=10, in_batch=in_batch)
    pool = train_part(questions, str(tmp_path / "run.trec"), None, sampling, None, 0, False).pool
    for at, query_id in enumerate(pool.query_ids):
        rest, relevant = (
            [pool.doc_ids[i] for i in part.take(np.array([at])).values.tolist()] for part in (pool.rest, pool.relevant)
        )
        assert query_id not in rest
        if in_batch:
            assert query_id in relevant


def test_a_run_that_holds_the_queries_is_told(questions):
    with_own = {q: {q: 9.0, "t8": 1.0} for q in questions.queries}
    assert "5 of 5 queries of run run find a document of their own id" in (
        evaluate(with_own, questions.qrels, ["mrr@10"]).conventions
    )
    without = {q: {"t8": 1.0} for q in questions.queries}
    assert "own id" not in evaluate(without, questions.qrels, ["mrr@10"]).conventions


def test_a_retriever_does_not_find_the_query_itself_either(questions, bi_encoder, tmp_path, caplog):  # noqa: F811
    out = str(tmp_path / "dense.trec")
    given = ["--model", str(bi_encoder), "--dataset", questions.name, "--precision", "32", "-k", "11"]
    assert main(["retrieve", *given, "-o", out]) == 0
    found = read_run(out)
    for query_id in questions.queries:
        docs = found[query_id][0].tolist()
        assert len(docs) == 11  # all of the 12 but itself
        assert query_id not in docs or query_id == "t0"
    assert "5 of 6 queries are documents of it" in caplog.text
