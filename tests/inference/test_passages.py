"""Documents longer than the model's window, scored by passages: what a plain loop over passages gives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.inference.reranker import Reranker
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.tiny_model import WORDS, save_tiny

QUERY = "how to join two paths"
SETTINGS = ModelSettings(30, 12)
SHORT = ["sort a list", "", "join the paths and return the path"]
HOWS = ("first", "max", "mean")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(2)
    home = tmp_path_factory.mktemp("passages")
    save_tiny(home / "backbone")
    CrossEncoder(str(home / "backbone")).save(home / "best", SETTINGS)
    return home / "best"


@pytest.fixture(scope="module")
def rerankers(folder) -> dict[str, Reranker]:
    return {how: Reranker.load(folder, "cpu", "32", passages=how) for how in HOWS}


@pytest.fixture(scope="module")
def long() -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, n)) for n in (25, 60, 200, 500)]


def by_hand(folder, query: str, doc: str, pool, stride: int | None = None, most: int | None = None) -> float:
    """A loop over passages, each encoded and scored by transformers on its own."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    q, d = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (query, doc))
    room = 30 - 3 - len(q)
    step = stride or room - room // 4
    if most is not None:
        d = d[: room + (most - 1) * step]
    n = 1
    while room + (n - 1) * step < len(d):
        n += 1
    scores = []
    for i in range(n):
        start = i * (len(d) - room) // (n - 1) if n > 1 else 0
        passage = d[start : start + room]
        ids = [tokenizer.cls_token_id, *q, tokenizer.sep_token_id, *passage, tokenizer.sep_token_id]
        types = [0] * (len(q) + 2) + [1] * (len(passage) + 1)
        with torch.inference_mode():
            found = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types]))
        scores.append(float(found.logits))
    return pool(scores)


@pytest.mark.parametrize(("how", "pool"), [("max", max), ("mean", np.mean), ("first", lambda scores: scores[0])])
def test_scores_are_those_of_a_loop_over_passages(rerankers, folder, long, how, pool):
    docs = [*long, *SHORT]
    expected = [by_hand(folder, query, doc, pool) for query in (QUERY, "sort") for doc in docs]
    found = rerankers[how].score([(query, doc) for query in (QUERY, "sort") for doc in docs])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize(("stride", "most"), [(4, None), (15, 3), (None, 2), (7, 1)])
def test_stride_and_number_of_passages(folder, long, stride, most):
    ranker = Reranker.load(folder, "cpu", "32", passages="mean", stride=stride, max_passages=most)
    expected = [by_hand(folder, QUERY, doc, np.mean, stride, most) for doc in long]
    np.testing.assert_allclose(ranker.score([(QUERY, doc) for doc in long]), expected, atol=1e-5)


def test_first_is_the_default_and_what_cutting_gives(rerankers, folder, long):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    pairs = [(QUERY, doc) for doc in long]
    plain = Reranker.load(folder, "cpu", "32")
    assert plain.settings == rerankers["first"].settings == SETTINGS
    assert plain.score(pairs).tolist() == rerankers["first"].score(pairs).tolist()
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    cut = AutoTokenizer.from_pretrained(folder)(
        *map(list, zip(*pairs, strict=True)), truncation="only_second", max_length=30, return_tensors="pt"
    )
    with torch.inference_mode():
        np.testing.assert_allclose(plain.score(pairs), model(**cut).logits[:, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize("how", ["max", "mean"])
def test_short_documents_score_as_ever(rerankers, how):
    pairs = [(QUERY, doc) for doc in SHORT]
    assert rerankers[how].score(pairs).tolist() == rerankers["first"].score(pairs).tolist()


def test_the_largest_score_is_at_least_that_of_the_beginning(rerankers, long):
    pairs = [(QUERY, doc) for doc in long]
    first, most, mean = (rerankers[how].score(pairs) for how in HOWS)
    assert (most >= first - 1e-6).all()
    assert (most >= mean - 1e-6).all()
    assert (most > first + 0.01).any()


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(7)), how=st.sampled_from(HOWS))
def test_the_order_of_documents_changes_nothing(rerankers, long, order, how):
    docs = [*long, *SHORT]
    scores = rerankers[how].score([(QUERY, doc) for doc in docs])
    again = rerankers[how].score([(QUERY, docs[i]) for i in order])
    np.testing.assert_allclose(again, scores[list(order)], atol=1e-5)


def test_ranks_and_many_queries(rerankers, long):
    queries, docs = [QUERY, "sort", "read"], [[*SHORT, *long], [], long[::-1]]
    many = rerankers["max"].rank_many(queries, docs)
    for query, own, ranked in zip(queries, docs, many, strict=True):
        scores = rerankers["max"].score([(query, doc) for doc in own])
        assert [one.index for one in ranked] == np.argsort(-scores, kind="stable").tolist()
        np.testing.assert_allclose([one.score for one in ranked], np.sort(scores)[::-1], atol=1e-5)
        assert [one.id for one in ranked] == [str(one.index) for one in ranked]


def test_what_is_computed_grows_as_documents_do(rerankers, folder):
    """Tokens that reach the model: none but those of the passages, and each once."""
    ranker = Reranker.load(folder, "cpu", "32", passages="max")
    seen: list[int] = []
    ranker.scorer.register_forward_pre_hook(lambda module, args: seen.append(args[0].tokens.ids.numel()))
    for times in (1, 2, 4, 8, 16):
        ranker.score([("sort", "file list " * (100 * times))])
    assert len(seen) == 5
    room, step = 26, 20
    expected = [30 * (1 + -(-(200 * times - room) // step)) for times in (1, 2, 4, 8, 16)]
    assert seen == expected, "a window of tokens for each passage"
    assert seen[-1] / seen[0] == pytest.approx(16, rel=0.1)


def test_the_choice_is_saved_with_the_model(folder, tmp_path, long):
    scorer = CrossEncoder(str(folder))
    scorer.save(tmp_path / "saved", ModelSettings(30, 12, passages="mean", stride=9, max_passages=4))
    ranker = Reranker.load(tmp_path / "saved", "cpu", "32")
    assert ranker.settings == ModelSettings(30, 12, passages="mean", stride=9, max_passages=4)
    same = Reranker(scorer, SETTINGS, "cpu", "32", passages="mean", stride=9, max_passages=4)
    pairs = [(QUERY, doc) for doc in long]
    np.testing.assert_allclose(ranker.score(pairs), same.score(pairs), atol=1e-6)
    for changed, expected in (
        ({"passages": "max"}, ModelSettings(30, 12, passages="max", stride=9, max_passages=4)),
        ({"max_passages": 2}, ModelSettings(30, 12, passages="mean", stride=9, max_passages=2)),
        ({"passages": "max", "stride": 5}, ModelSettings(30, 12, passages="max", stride=5, max_passages=4)),
        ({"passages": "first"}, ModelSettings(30, 12)),
    ):
        assert Reranker.load(tmp_path / "saved", "cpu", "32", **changed).settings == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"passages": "best"}, "passages must be first, max or mean, got 'best'"),
        ({"passages": "max", "stride": 0}, "stride must be at least 1, got 0"),
        ({"passages": "max", "max_passages": 0}, "max_passages must be at least 1, got 0"),
        ({"stride": 5}, r"stride is for documents that are read in passages, and passages is first, .* \(got 5\)"),
        ({"passages": "first", "max_passages": 5}, "set passages to max or mean, or leave max_passages out"),
        (
            {"passages": "mean", "stride": 16},
            "stride must be at least 1 and at most 15, the tokens of a passage beside",
        ),
    ],
)
def test_settings_that_cannot_work(folder, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Reranker.load(folder, **arguments)


@pytest.mark.parametrize("how", ["max", "mean"])
def test_one_passages_score_that_is_no_number_names_the_document(folder, long, how):
    ranker = Reranker.load(folder, "cpu", "32", passages=how)
    real = ranker.scorer.forward

    def broken(batch):
        scores = real(batch).clone()
        scores[0, 1] = float("nan")  # as where one of its passages has none: tests/batch
        return scores

    ranker.scorer.forward = broken
    with pytest.raises(DataError, match="query 0, document b: the model's score is nan"):
        ranker.rank(QUERY, [long[0], long[2], "sort"], ids=["a", "b", "c"])
