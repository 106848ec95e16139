"""What a request means is the same in every dialect."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ltr.inference.probability import Sigmoid
from tests.serving.wires import WIRES, Found, Wire

QUERY = "how to join two paths"
DOCS = ["sort a list", "join the paths and return the path", "what is a document", "open a file, read text"]

every = pytest.mark.parametrize("wire", WIRES, ids=lambda w: f"{w.name} at {w.path}")
#: half of a surrogate pair, as JSON can write it
HALF = "\ud83d cut"


def ask(client, wire: Wire, query=QUERY, docs=DOCS, code: int = 200, **more):
    """The answer to a body, whole."""
    body = {**wire.fields(query, docs), **more}
    answer = client.post(wire.path, content=json.dumps(body).encode())
    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer


def found(client, wire: Wire, query=QUERY, docs=DOCS, **more) -> list[Found]:
    answer = ask(client, wire, query, docs, **more)
    results = wire.results(answer.json(parse_float=float))
    for one in results:
        assert type(one.index) is int
        assert type(one.score) is float  # 0.0 and never 0: OpenSearch casts
        assert math.isfinite(one.score)
    return results


def refused(client, wire: Wire, code: int = 422, query=QUERY, docs=DOCS, **more) -> str:
    sentence = wire.sentence(ask(client, wire, query, docs, code, **more).json())
    assert sentence
    assert "join the paths" not in sentence  # no document is repeated
    return sentence


@every
def test_scores_and_order_are_those_of_the_reranker(wire, client, reranker):
    raw = reranker.score([(QUERY, doc) for doc in DOCS])
    results = found(client, wire)
    best_first = np.argsort(-raw, kind="stable").tolist()
    assert [one.index for one in results] == (best_first if wire.ranked else list(range(len(DOCS))))
    scores = {one.index: one.score for one in results}
    np.testing.assert_allclose([scores[i] for i in range(len(DOCS))], Sigmoid()(raw), atol=1e-6)
    assert all(0 <= score <= 1 for score in scores.values())


@every
@pytest.mark.parametrize("more", [{"raw_scores": True}, {"use_activation": False}], ids=str)
def test_raw_scores_are_the_models(wire, more, client, reranker):
    raw = reranker.score([(QUERY, doc) for doc in DOCS])
    scores = {one.index: one.score for one in found(client, wire, **more)}
    np.testing.assert_allclose([scores[i] for i in range(len(DOCS))], raw, atol=1e-6)
    assert len({one.index for one in found(client, wire, use_activation=True, raw_scores=False)}) == len(DOCS)


@every
@pytest.mark.parametrize(("top_n", "n"), [(None, 4), (0, 4), (2, 2), (4, 4), (100, 4)])
def test_top_n(wire, top_n, n, client):
    results = found(client, wire, top_n=top_n)
    assert len(results) == (n if wire.cuts else len(DOCS))
    if wire.ranked:
        assert results == found(client, wire)[: len(results)]


@every
def test_a_negative_top_n_is_refused_where_it_is_known(wire, client):
    if wire.cuts:
        assert refused(client, wire, top_n=-1) == "top_n must be from 0 to 2147483648, got -1"
        assert refused(client, wire, top_n=2.5) == "top_n must be a whole number, got a number"
        assert refused(client, wire, top_n=True) == "top_n must be a whole number, got a truth value"
    else:
        assert "top_n" in ask(client, wire, top_n=-1).headers["x-warnings"]


@every
def test_documents_come_back_only_when_asked_for(wire, client):
    if wire.name == "weaviate":  # its results are known by their texts
        return
    assert all(one.text is None for one in found(client, wire))
    if wire.shows:
        assert all(one.text == DOCS[one.index] for one in found(client, wire, **{wire.shows: True}))
        assert "must be true or false, got a string" in refused(client, wire, **{wire.shows: "yes"})


@every
def test_documents_may_be_objects(wire, client):
    plain = found(client, wire)
    assert (
        found(client, wire, docs=[{"text": doc, "id": i} for i, doc in enumerate(DOCS)]) == plain
        or wire.name == "weaviate"
    )
    assert [one.score for one in found(client, wire, docs=[{"text": doc} for doc in DOCS])] == [
        one.score for one in plain
    ]
    sentence = refused(client, wire, docs=[{"text": "a"}, {"title": "join the paths"}])
    assert (
        sentence
        == f"{wire.documents}[1] has none of the fields that are ranked (text); give it a field text, or name others in rank_fields"
    )


@pytest.mark.parametrize(
    "wire",
    [w for w in WIRES if w.name in ("cohere_v1", "cohere_v2", "infinity", "vllm_rerank", "weaviate")],
    ids=lambda w: f"{w.name} at {w.path}",
)
def test_fields_are_joined_in_order(wire, client):
    docs = [{"title": "read", "body": "a file"}, {"body": "a list", "title": "sort", "author": "x"}]
    joined = found(client, wire, docs=["read a file", "sort a list"])
    assert [f.score for f in found(client, wire, docs=docs, rank_fields=["title", "body"])] == [f.score for f in joined]
    other = found(client, wire, docs=["a file read", "a list sort"])
    assert [f.score for f in found(client, wire, docs=docs, rank_fields=["body", "title"])] == [f.score for f in other]
    assert "rank_fields must be a list" in refused(client, wire, docs=docs, rank_fields="title")
    assert (
        refused(client, wire, docs=[{"title": 3}], rank_fields=["title"])
        == "documents[0].title must be a string, got a number"
    )


@every
def test_no_documents(wire, client):
    if wire.name == "tei":  # which says so itself
        assert refused(client, wire, 400, docs=[]) == "texts must not be empty; give at least one"
        assert ask(client, wire, docs=[], code=400).json()["error_type"] == "Empty"
    else:
        assert found(client, wire, docs=[]) == []


@every
def test_empty_texts_and_duplicates_keep_the_order_of_the_input(wire, client, reranker):
    docs = ["", "read a file", "", "read a file", " "]
    results = found(client, wire, docs=docs)
    scores = {one.index: one.score for one in results}
    assert scores[0] == pytest.approx(float(Sigmoid()(reranker.score([(QUERY, "")]))[0]), abs=1e-6)
    places = [one.index for one in results]
    assert places.index(0) < places.index(2)
    assert places.index(1) < places.index(3)


@every
def test_a_thousand_documents(wire, client):
    docs = [f"read file {i}" for i in range(1000)]
    assert sorted(one.index for one in found(client, wire, docs=docs)) == list(range(1000))


@every
def test_all_of_unicode_is_read(wire, client):
    docs = ["日本語のテキスト", "naïve café — 𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "🙂🙃", "\x00\x07", "\u202eabc\u2028", "א"]
    assert len(found(client, wire, "どこ 🙂", docs)) == len(docs)


@every
def test_half_of_a_surrogate_pair_is_refused(wire, client):
    sentence = refused(client, wire, docs=["fine", HALF])
    assert sentence.startswith(f"{wire.documents}[1] holds half of a surrogate pair at character 0")
    assert "half of a surrogate pair" in refused(client, wire, query=HALF)


@every
def test_unknown_fields_are_ignored_and_named(wire, client):
    strange = {"return_docs": True, "relevant_spans": {"mode": "x"}, "ключ\n": 1}
    answer = ask(client, wire, **strange)
    assert wire.results(answer.json()) == found(client, wire)
    warning = answer.headers["x-warnings"]
    assert warning.startswith("ignored, since this dialect does not know it: return_docs, relevant_spans, ")
    assert warning.isprintable()
    if wire.name in ("cohere_v1", "cohere_v2"):
        assert answer.json()["meta"]["warnings"] == [warning]
    many = ask(client, wire, **{f"x{i}": i for i in range(30)}).headers["x-warnings"]
    assert many.endswith("x7 and 22 more")


@pytest.mark.parametrize(
    ("name", "shown"), [("", "''"), (" x", "' x'"), ("x" * 39 + " y", f"'{'x' * 39} '"), ("\t", "'\\t'")]
)
def test_names_that_could_end_a_header_stand_in_quotes(name, shown, client):
    """A header must not end with a space: the server broke the connection off."""
    answer = ask(client, WIRES[0], **{name: 1})
    assert answer.headers["x-warnings"] == f"ignored, since this dialect does not know it: {shown}"


@every
def test_long_documents_are_cut_counted_and_told(wire, client, reranker):
    docs = ["read a file", "read the text " * 50, "sort"]
    answer = ask(client, wire, docs=docs)
    assert answer.headers["x-truncated-documents"] == "1"
    if "meta" in answer.text:
        assert answer.json()["meta"]["truncated"] == [1]
    assert answer.headers["x-compute-tokens"] == str(sum(reranker.reader.batch([_texts(QUERY, docs)]).lengths.tolist()))
    assert "x-warnings" not in answer.headers
    assert "x-truncated-documents" not in ask(client, wire).headers


def _texts(query, docs):
    from ltr.data.tokens.reader import Texts

    return Texts("q", query, list(map(str, range(len(docs)))), docs)


@every
def test_a_long_query_is_never_cut_silently(wire, client):
    answer = ask(client, wire, query="how to join " * 30)
    assert "the query was cut: the model reads its first 20 tokens" in answer.headers["x-warnings"]


@every
def test_max_tokens_per_doc(wire, client):
    cut = found(client, wire, docs=["read a file now", "sort"], max_tokens_per_doc=2)
    short = found(client, wire, docs=["read a", "sort"])
    assert [one.score for one in cut] == [one.score for one in short]
    answer = ask(client, wire, docs=["read a file now", "sort"], max_tokens_per_doc=2)
    assert answer.headers["x-truncated-documents"] == "1"
    for more in (None, 0, 10_000):
        assert found(client, wire, max_tokens_per_doc=more) == found(client, wire)
    assert "max_tokens_per_doc must be from 0" in refused(client, wire, max_tokens_per_doc=-1)


@every
def test_priority_is_a_whole_number(wire, client):
    assert found(client, wire, priority=5) == found(client, wire)
    assert "priority must be a whole number, got a string" in refused(client, wire, priority="high")


@every
@pytest.mark.parametrize("query", ["", "   ", None, 3, ["a"]], ids=repr)
def test_a_query_is_needed(wire, query, client):
    if wire.name == "vllm_score" and query == ["a"]:
        return  # several queries
    assert refused(client, wire, query=query)


@every
@pytest.mark.parametrize("docs", [3, None, [3], [None], [["a"]]], ids=repr)
def test_documents_are_texts(wire, docs, client):
    sentence = refused(client, wire, docs=docs)
    assert sentence.startswith(wire.documents) or "is missing" in sentence


@every
def test_any_name_is_served_by_the_one_model_and_the_answer_names_it(wire, client):
    answer = ask(client, wire, model="rerank-v3.5")
    if isinstance(answer.json(), dict) and "model" in answer.json():
        assert answer.json()["model"] == "demo"
    assert "model must be a string, got a list" in refused(client, wire, model=["demo"])
    assert found(client, wire, model=None) == found(client, wire)


@every
@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[1]", b"null", b"\xff\xfe\xfa", b'{"a": NaN}', b"[" * 100_000, b'{"a":' + b"9" * 9999 + b"}"]
)
def test_what_is_no_json_object_is_refused(wire, raw, client):
    answer = client.post(wire.path, content=raw)
    assert answer.status_code == 400
    assert "JSON" in answer.text


RANKING = [w for w in WIRES if w.cuts]


@pytest.mark.parametrize("wire", RANKING, ids=lambda w: f"{w.name} at {w.path}")
def test_mixing_with_the_first_stage(wire, client, reranker):
    first = [3.0, 1.0, 7.0, 2.0]
    for weight in (True, 0.25, 0, 1):
        wanted = reranker.rank(QUERY, DOCS, first_scores=first, interpolate=weight)
        results = found(client, wire, first_scores=first, interpolate=weight)
        assert [one.index for one in results] == [one.index for one in wanted]
        np.testing.assert_allclose([one.score for one in results], [one.score for one in wanted], atol=1e-6)
    assert (
        refused(client, wire, interpolate=0.3)
        == "interpolate needs first_scores, the first stage's score of each document"
    )
    assert "interpolate must be true, or" in refused(client, wire, first_scores=first, interpolate=1.5)
    assert "one number for each of the 4 documents, got 1" in refused(client, wire, first_scores=[1], interpolate=0.3)
    assert "finite numbers" in refused(client, wire, first_scores=["a"] * 4, interpolate=0.3)
    assert found(client, wire, first_scores=first) == found(client, wire)


@pytest.mark.parametrize("wire", [w for w in WIRES if w.name.startswith("vllm")], ids=lambda w: f"{w.name} at {w.path}")
def test_truncate_prompt_tokens(wire, client):
    long = ["read the text " * 50]
    assert found(client, wire, docs=long, truncate_prompt_tokens=-1) == found(client, wire, docs=long)
    assert found(client, wire, docs=long, truncate_prompt_tokens=500) == found(client, wire, docs=long)
    short = ask(client, wire, docs=long, truncate_prompt_tokens=20)
    assert short.headers["x-compute-tokens"] == "20"
    sentence = refused(client, wire, docs=long, truncate_prompt_tokens=6)
    assert sentence == "truncate_prompt_tokens 6 leaves no room for a document beside the query; give at least 9"


def test_pairs_of_vllm(client, reranker):
    wire = next(w for w in WIRES if w.name == "vllm_score")
    queries = ["join paths", "sort a list", "read"]
    raw = reranker.score(list(zip(queries, DOCS[:3], strict=True)))
    for first, second in (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")):
        answer = client.post("/v1/score", json={first: queries, second: DOCS[:3], "raw_scores": True}).json()
        np.testing.assert_allclose([one["score"] for one in answer["data"]], raw, atol=1e-6)
    assert "text_1 must have one text, or as many as text_2 (4), got 3" in refused(client, wire, query=queries)
    assert "text_1[1] must not be empty" in refused(client, wire, query=["a", " "], docs=["a", "b"])
    both = ask(client, wire, queries=["never", "read"], items=3)
    assert wire.results(both.json()) == found(client, wire)
    assert both.headers["x-warnings"] == "ignored, since this dialect does not know it: queries, items"


def test_bodies_of_others_at_the_base_address_are_told_where_to_go(client):
    answer = client.post("/", json={"query": "join", "documents": ["a"]})
    assert answer.status_code == 422
    assert "send bodies with documents to /v1/rerank, /v2/rerank or /rerank" in answer.json()["error"]


def test_teis_own_words(client):
    long = ["join " + "read the text " * 50 + "sort", "open"]
    body = {"query": QUERY, "texts": long}
    assert "shorten it, or allow truncation" in client.post("/rerank", json={**body, "truncate": False}).json()["error"]
    right = client.post("/rerank", json=body).json()
    left = client.post("/rerank", json={**body, "truncation_direction": "left"}).json()
    assert sorted(map(str, right)) != sorted(map(str, left))
    end = client.post(
        "/rerank",
        json={"query": QUERY, "texts": [" ".join(long[0].split()[-60:]), "open"], "truncation_direction": "left"},
    )
    assert {one["index"]: one["score"] for one in left} == pytest.approx(
        {o["index"]: o["score"] for o in end.json()}, abs=1e-6
    )
    for side in ("up", "", 0, False, []):
        wrong = client.post("/rerank", json={**body, "truncation_direction": side})
        assert wrong.status_code == 422
        assert wrong.json() == {"error": "truncation_direction must be Right or Left", "error_type": "Validation"}


def test_weaviates_property_is_a_text(client):
    body = {"query": QUERY, "documents": DOCS}
    assert client.post("/rerank", json={**body, "property": None}).status_code == 200
    wrong = client.post("/rerank", json={**body, "property": ["text"]})
    assert (wrong.status_code, wrong.json()) == (422, {"error": "property must be a string, got a list"})


def test_an_interpolation_weight_that_no_model_has(client, service, monkeypatch):
    from dataclasses import replace

    model = service.models.held["demo"]
    monkeypatch.setattr(
        service.models, "_held", {"demo": replace(model, settings=replace(model.settings, interpolation=None))}
    )
    answer = client.post(
        "/v1/rerank", json={"query": "a", "documents": ["b"], "first_scores": [1], "interpolate": True}
    )
    assert answer.status_code == 422
    assert (
        "interpolate true needs a weight that was stored with the model, and demo has none" in answer.json()["message"]
    )
