"""Texts in, ranked texts out."""

import numpy as np
import pytest
import torch

import ltr
from ltr.errors import ConfigError, DataError
from ltr.inference import scoring
from ltr.inference.documents import Ranked
from ltr.inference.reranker import Reranker
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.tiny_model import save_tiny

QUERY = "how to join two paths"
DOCS = ["sort a list", "join the paths and return the path", "what is a document", "open a file, read text"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(2)
    home = tmp_path_factory.mktemp("reranker")
    save_tiny(home / "backbone")
    CrossEncoder(str(home / "backbone")).save(home / "best", ModelSettings(40, 12, interpolation=0.25))
    return home / "best"


@pytest.fixture(scope="module")
def reranker(folder) -> Reranker:
    return Reranker.load(folder, device="cpu", precision="32")


def by_transformers(folder, pairs) -> np.ndarray:
    """The reference: tokenizer and model of transformers, one pair at a time."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        return np.array(
            [
                float(model(**tokenizer([q], [d], truncation="only_second", max_length=40, return_tensors="pt")).logits)
                for q, d in pairs
            ]
        )


def test_scores_are_those_of_transformers(reranker, folder):
    pairs = [(QUERY, doc) for doc in DOCS] + [("sort", "a list " * 60), ("what is python", "")]
    scores = reranker.score(pairs)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, by_transformers(folder, pairs), atol=1e-5)
    assert np.ptp(scores) > 0.05


def test_probabilities_are_the_sigmoid_in_the_same_order(reranker):
    raw, shown = (reranker.rank(QUERY, DOCS, probability=wanted) for wanted in (False, True))
    assert [r.index for r in shown] == [r.index for r in raw]
    np.testing.assert_allclose([r.score for r in shown], [1 / (1 + np.exp(-r.score)) for r in raw], atol=1e-6)


def test_probabilities_are_those_of_the_map_that_was_stored(reranker):
    from dataclasses import replace

    kept = {"kind": "platt", "scores": [0.0], "logits": [-2.0], "slope": 0.5}
    calibrated = Reranker(reranker.scorer, replace(reranker.settings, calibration=kept), "cpu")
    raw, shown = (calibrated.rank(QUERY, DOCS, probability=wanted) for wanted in (False, True))
    np.testing.assert_allclose([r.score for r in shown], [1 / (1 + np.exp(2 - r.score / 2)) for r in raw], atol=1e-5)


def test_rank_sorts_and_tells_id_score_rank_and_index(reranker, folder):
    expected = by_transformers(folder, [(QUERY, doc) for doc in DOCS])
    ranked = reranker.rank(QUERY, DOCS, ids=["a", "b", "c", "d"])
    order = np.argsort(-expected)
    assert [r.index for r in ranked] == order.tolist()
    assert [r.id for r in ranked] == ["abcd"[i] for i in order]
    assert [r.rank for r in ranked] == [1, 2, 3, 4]
    np.testing.assert_allclose([r.score for r in ranked], expected[order], atol=1e-5)
    assert reranker.rank(QUERY, DOCS, top_k=2) == [Ranked(str(r.index), r.score, r.rank, r.index) for r in ranked[:2]]


def test_many_queries_at_once_rank_as_one_by_one(reranker):
    queries, docs = [QUERY, "sort", "read"], [DOCS, [], DOCS[:1]]
    many = reranker.rank_many(queries, docs)
    assert [len(one) for one in many] == [4, 0, 1]
    for query, own, ranked in zip(queries, docs, many, strict=True):
        alone = reranker.rank(query, own)
        assert [r.index for r in ranked] == [r.index for r in alone]
        np.testing.assert_allclose([r.score for r in ranked], [r.score for r in alone], atol=1e-5)


def test_more_documents_than_are_tokenised_together(reranker):
    docs = [f"list number {i}" for i in range(1500)]
    ranked = reranker.rank_many(["sort", "read"], [docs, docs[:3]], top_k=5)
    assert [len(one) for one in ranked] == [5, 3]
    assert reranker.rank_many([], []) == []
    assert reranker.score([]).shape == (0,)


def test_equal_scores_keep_the_order_of_the_input(reranker):
    ranked = reranker.rank(QUERY, DOCS, first_scores=[1, 2, 1, 1], interpolate=1.0)
    assert [(r.index, r.score) for r in ranked] == [(1, 1.0), (0, 0.0), (2, 0.0), (3, 0.0)]


def test_titles_stand_before_the_text(reranker):
    docs = [{"title": "join", "text": "two paths"}, {"text": "sort"}, {"title": None, "text": "sort"}, "join two paths"]
    scores = reranker.score([(QUERY, doc) for doc in docs])
    assert scores[0] == pytest.approx(scores[3], abs=1e-6)
    assert scores[1] == pytest.approx(scores[2], abs=1e-6)


def test_interpolation_with_the_first_stage(reranker):
    model = np.array([r.score for r in sorted(reranker.rank(QUERY, DOCS), key=lambda r: r.index)])
    first = [3.0, 1.0, 2.0, 5.0]
    spread = [(np.array(s) - np.min(s)) / np.ptp(s) for s in (first, model)]
    for interpolate, weight in ((True, 0.25), (0.75, 0.75), (0, 0.0), (1.0, 1.0)):
        mixed = weight * spread[0] + (1 - weight) * spread[1]
        ranked = reranker.rank(QUERY, DOCS, first_scores=first, interpolate=interpolate)
        assert [r.index for r in ranked] == np.argsort(-mixed).tolist()
        np.testing.assert_allclose([r.score for r in ranked], np.sort(mixed)[::-1], atol=1e-6)
    plain = reranker.rank(QUERY, DOCS, first_scores=first)
    assert [r.index for r in plain] == np.argsort(-model).tolist(), "off by default"
    assert reranker.rank(QUERY, [], first_scores=[], interpolate=True) == []


def test_bf16_ranks_alike(folder, reranker):
    lower = Reranker.load(folder, device="cpu", precision="bf16")
    pairs = [(QUERY, doc) for doc in DOCS]
    assert np.abs(lower.score(pairs) - reranker.score(pairs)).max() < 0.1


def test_a_progress_bar_when_asked_where_one_is_drawn(reranker, capsys, monkeypatch):
    reranker.rank_many(["sort", "read"], [DOCS, DOCS])
    reranker.rank_many(["sort", "read"], [DOCS, DOCS], progress=True)
    assert capsys.readouterr().err == "", "nothing to draw on, and over within 20 seconds"
    monkeypatch.setattr(scoring, "shows_bars", lambda: True)
    reranker.rank_many(["sort", "read"], [DOCS, DOCS])
    assert capsys.readouterr().err == ""
    reranker.rank_many(["sort", "read"], [DOCS, DOCS], progress=True)
    assert "reranking: 100%" in capsys.readouterr().err


def test_public_name():
    assert ltr.Reranker is Reranker


def test_lengths_can_be_set_and_default_to_the_models(folder, tmp_path):
    assert Reranker.load(folder).settings == ModelSettings(40, 12, 0.25)
    assert Reranker.load(folder, max_length=20).settings == ModelSettings(20, 10, 0.25)
    assert Reranker.load(folder, max_query_length=5).settings == ModelSettings(40, 5, 0.25)
    assert Reranker.load(folder, max_length=64).settings == ModelSettings(64, 12, 0.25)
    for wrong in ({"max_length": 0}, {"max_query_length": 0}):
        with pytest.raises(ConfigError, match="1 <= max_query_length < max_length, got"):
            Reranker.load(folder, **wrong)
    elsewhere = save_tiny(tmp_path / "elsewhere", head=True)
    assert Reranker.load(elsewhere).settings == ModelSettings(64, 32)


@pytest.mark.parametrize("query", ["", "  \n", None])
def test_an_empty_query(reranker, query):
    with pytest.raises(DataError, match="query 1 must be a text that is not empty, got"):
        reranker.rank_many(["sort", query], [DOCS, DOCS])


@pytest.mark.parametrize("doc", [None, 7, {"title": "x"}, {"text": 3}, {"title": 3, "text": "x"}, ["x"]])
def test_a_document_that_is_no_text(reranker, doc):
    with pytest.raises(DataError, match=r"document 1 of query 0 must be a string, or a mapping with a string under te"):
        reranker.rank("sort", ["x", doc])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"docs": [DOCS]}, "docs must have one entry for each of the 2 queries, got 1"),
        ({"ids": [["a"]]}, "ids must have one entry for each of the 2 queries, got 1"),
        ({"ids": [["a"], ["b"]]}, "ids must have one entry for each of the 4 documents of query 0, got 1"),
        ({"first_scores": [[1] * 4, [1]]}, "first_scores must have one entry for each of the 4 documents of query 1"),
    ],
)
def test_numbers_that_differ(reranker, arguments, sentence):
    with pytest.raises(DataError, match=sentence):
        reranker.rank_many(["sort", "read"], **{"docs": [DOCS, DOCS], **arguments})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"interpolate": 0.5, "first_scores": [1] * 4, "probability": True}, "mixes them with others; give one"),
        ({"interpolate": True}, "interpolate needs first_scores, the first stage's score of each document"),
        ({"interpolate": 2.0, "first_scores": [1, 2, 3, 4]}, r"interpolate must be a weight from 0 to 1, got 2\.0"),
    ],
)
def test_settings_that_cannot_work(reranker, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        reranker.rank(QUERY, DOCS, **arguments)


def test_no_weight_was_stored(reranker):
    plain = Reranker(reranker.scorer, ModelSettings(40, 12), "cpu", "32")
    with pytest.raises(ConfigError, match="needs a weight that was stored with the model, and there is none"):
        plain.rank(QUERY, DOCS, first_scores=[1, 2, 3, 4], interpolate=True)


def test_first_scores_that_are_not_finite(reranker):
    with pytest.raises(DataError, match="nan"):
        reranker.rank(QUERY, DOCS, first_scores=[1, 2, float("nan"), 4], interpolate=True)


def test_a_backbone_without_a_trained_head(folder):
    with pytest.raises(
        ConfigError, match="has no trained scoring head, its scores would be random; train one with ltr"
    ):
        Reranker.load(folder.parent / "backbone")


def test_more_tokens_than_positions(folder):
    with pytest.raises(ConfigError, match="reads at most 64 tokens, got texts of up to 65"):
        Reranker.load(folder, max_length=65)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda r: r.rank("a", "one text"), r"docs must be a sequence, got 'one text'; give docs=\['one text'\]"),
        (lambda r: r.rank("a", {"one", "two"}), "docs must be a sequence, got a set; make a list of it"),
        (lambda r: r.rank("a", (doc for doc in "xy")), "docs must be a sequence, got a generator; make a list of it"),
        (lambda r: r.rank("a", {"text": "one"}), r"docs must be a sequence, got \{'text': 'one'\}; give docs="),
        (
            lambda r: r.rank("a", ["b", "c"], ids="xy"),
            "the ids of query 0 must be a sequence, got 'xy'; give a list of ids",
        ),
        (
            lambda r: r.rank_many("ab", [["c"], ["d"]]),
            "queries must be a sequence, got 'ab'; give a list with one query",
        ),
        (
            lambda r: r.rank_many(["a"], ["c"]),
            "the documents of query 0 must be a sequence, got 'c'; give a list of texts",
        ),
        (lambda r: r.score(["ab"]), "pair 0 must be a query and a document, got 'ab'"),
        (
            lambda r: r.rank("a \ud800", ["b"]),
            r"query 0 holds '\\ud800', half of a surrogate pair, at character 2: it was",
        ),
        (
            lambda r: r.rank("a", ["b", "\udc00"]),
            r"document 1 of query 0 holds '\\udc00', half of .* put '\\ufffd' in its",
        ),
        (
            lambda r: r.score([("a", {"title": "\ud83d", "text": "b"})]),
            r"document 0 of query 0 holds '\\ud83d', half of a",
        ),
    ],
)
def test_texts_that_are_not_what_they_seem(reranker, call, sentence):
    with pytest.raises(DataError, match=sentence):
        call(reranker)


@pytest.mark.parametrize(("positions", "said", "length"), [(8192, 4096, 4096), (128, 10**30, 128), (128, 64, 64)])
def test_a_model_from_elsewhere_is_read_as_far_as_it_says(tmp_path, positions, said, length):
    from transformers import AutoTokenizer

    _save(tmp_path, positions)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.model_max_length = said
    tokenizer.save_pretrained(tmp_path)
    assert Reranker.load(tmp_path, "cpu", "32").settings.max_length == length


def _save(folder, positions):
    from transformers import BertConfig, BertForSequenceClassification

    from tests.tiny_model import save_tokenizer

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = BertConfig(vocab_size=160, **sizes, max_position_embeddings=positions, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(folder)
    save_tokenizer(folder)


def test_a_request_whose_score_is_not_a_number_fails_alone(folder):
    reranker = Reranker.load(folder, "cpu", "32")
    lost = reranker.tokenizer.convert_tokens_to_ids("python")
    reranker.scorer.model.base_model.embeddings.word_embeddings.weight[lost] = torch.nan
    wanted = [one.score for one in reranker.rank(QUERY, DOCS)]
    with pytest.raises(DataError, match="query second, document 1: the model's score is nan"):
        reranker.rank_many([QUERY, QUERY], [DOCS, ["a", "python"]], query_ids=["first", "second"])
    assert [one.score for one in reranker.rank(QUERY, DOCS)] == wanted
