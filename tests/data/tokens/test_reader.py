"""Texts become batches: each text is tokenised once, however many encodings it is part of."""

import numpy as np
import pytest

from ltr.batch import TextLists
from ltr.data.lists.ragged import Ragged
from ltr.data.tokens import pairs as tokens
from ltr.data.tokens import reader as encoding
from ltr.data.tokens.pairs import PairTemplate, encode, tokenize
from ltr.data.tokens.reader import TextEncoder, Texts
from ltr.errors import ConfigError
from ltr.settings.texts import ModelSettings
from tests.data.tokenizers import WORDS, tiny_tokenizer

TOKENIZER = tiny_tokenizer("bert")
LONG = " ".join([WORDS] * 8)
LISTS = [Texts("q0", "fox", ["a", "b", "c"], [WORDS, "", LONG]), Texts("q1", "how to join paths?", ["a"], [WORDS])]


def encoder(how: str = "first", stride=None, most=None) -> TextEncoder:
    return TextEncoder(TOKENIZER, ModelSettings(30, 8, passages=how, stride=stride, max_passages=most))


@pytest.fixture
def tokenised(monkeypatch) -> list[str]:
    """Every text that the tokenizer is given, in order."""
    texts, real = [], tokens.token_ids

    def counted(backend, some, most):
        texts.extend(some)
        return real(backend, some, most)

    monkeypatch.setattr(tokens, "token_ids", counted)
    return texts


def test_first_is_the_encoding_of_cut_documents():
    batch = encoder().batch(LISTS)
    assert type(batch) is TextLists
    texts = [text for one in LISTS for text in one.docs]
    queries, docs = tokenize(TOKENIZER, [one.query for one in LISTS]), tokenize(TOKENIZER, texts)
    expected = encode(PairTemplate.of(TOKENIZER), queries, docs, 30, 8, np.array([0, 0, 0, 1]))
    assert batch.tokens.ids.tolist() == expected.input_ids.tolist()
    assert batch.tokens.marks.tolist() == expected.segment_ids.tolist()
    assert batch.tokens.offsets.tolist() == expected.doc_offsets.tolist()
    assert batch.list_offsets.tolist() == [0, 3, 4]
    assert (batch.query_ids, batch.doc_ids) == (["q0", "q1"], ["a", "b", "c", "a"])


@pytest.mark.parametrize("how", ["max", "mean"])
def test_documents_are_passages_or_stay_whole(how):
    first, batch = encoder().batch(LISTS), encoder(how).batch(LISTS)
    assert (batch.pooling, batch.n_docs, batch.doc_ids) == (how, 4, first.doc_ids)
    counts = batch.row_offsets.diff().tolist()
    assert counts[1] == 1
    assert counts[0] > 1
    assert counts[2] > 5 * counts[0]
    for doc, passage in enumerate(batch.row_offsets[:-1].tolist()):
        ours, theirs = (
            b.tokens.ids[b.tokens.offsets[at] : b.tokens.offsets[at + 1]] for b, at in ((batch, passage), (first, doc))
        )
        assert ours.tolist() == theirs.tolist(), "the first passage is what cutting leaves"


def test_every_text_is_tokenised_once_whatever_its_passages(tokenised):
    batch = encoder("max").batch(LISTS)
    assert sorted(tokenised) == sorted([one.query for one in LISTS] + [text for one in LISTS for text in one.docs])
    assert len(batch.tokens.offsets) > 2 * len(tokenised)


@pytest.mark.parametrize("stride", [None, 6, 12])
def test_tokens_grow_as_documents_do(stride):
    """Every token beyond the first window costs the same: window over stride."""
    text, room = ["fox", "dog", "over", "lazy"] * 500, 30 - 3 - 1
    step = stride or room - room // 4
    lengths = np.array([4, 8, 16, 32, 64]) * room
    for length in lengths:
        batch = encoder("max", stride).batch([Texts("q", "fox", ["d"], [" ".join(text[:length])])])
        passages = len(batch.tokens.offsets) - 1
        assert passages == 1 + -(-(length - room) // step)
        assert len(batch.tokens.ids) == 30 * passages, "no passage is padded, no query stands in it twice"
        assert 0 <= len(batch.tokens.ids) - 30 * (1 + (length - room) / step) < 30, "linear within a passage"


def test_passages_start_with_words():
    text = "how zyx to abcd join fox " * 40
    batch = encoder("max", 15).batch([Texts("q", "fox", ["d"], [text])])
    starts = batch.tokens.offsets[:-1] + 3  # behind [CLS] fox [SEP]
    first = TOKENIZER.convert_ids_to_tokens(batch.tokens.ids[starts].tolist())
    assert len(first) > 20
    assert not any(token.startswith("##") for token in first)
    every = TOKENIZER.convert_ids_to_tokens(batch.tokens.ids.tolist())
    assert sum(token.startswith("##") for token in every) > 0.2 * len(every)


def test_max_passages_bounds_what_is_computed_and_tokenised(monkeypatch):
    bounds, real = [], tokens.token_ids
    monkeypatch.setattr(tokens, "token_ids", lambda b, texts, most: bounds.append(most) or real(b, texts, most))
    text = WORDS + " zzz" * 5000
    few = encoder("max", 10, 3).batch([Texts("q", "fox", ["d"], [text])])
    assert bounds == [8 + 1, 30 + 2 * 10], "one token more tells which queries are cut"
    assert len(few.tokens.offsets) - 1 == 3
    assert len(few.tokens.ids) == 90
    whole = encoder("max", 10).batch([Texts("q", "fox", ["d"], [WORDS])])
    assert few.tokens.ids[:30].tolist() == whole.tokens.ids[:30].tolist()
    one, first = encoder("max", None, 1).batch(LISTS), encoder().batch(LISTS)
    assert one.tokens.ids.tolist() == first.tokens.ids.tolist()


def test_long_documents_are_encoded_and_tokenised_a_few_at_a_time(monkeypatch):
    sizes, real = [], tokens.token_ids
    monkeypatch.setattr(encoding, "CHUNK", 4)
    monkeypatch.setattr(encoding, "LONG", 100)
    monkeypatch.setattr(tokens, "SLICE", 400)
    monkeypatch.setattr(tokens, "token_ids", lambda b, texts, most: sizes.append(len(texts)) or real(b, texts, most))
    lists = [Texts(f"q{i}", "fox", ["a", "b", "c"], ["x " * 70] * 3) for i in range(4)]
    batches = list(encoder("max").batches(lists))
    assert [len(batch) for batch in batches] == [1, 1, 1, 1], "each document counts for two"
    assert sizes == [1, 3] * 4
    sizes.clear()
    assert [len(batch) for batch in encoder().batches(lists)] == [2, 2], "at their beginning, documents are short"
    whole = Texts("q", "fox", list("abcdefg"), ["x " * 70, "", "fox", "y " * 300, "x " * 70, "z " * 140, "dog"])
    sizes.clear()
    batch = encoder("max").batch([whole])
    assert sizes == [1, 4, 2, 1]
    monkeypatch.undo()
    assert batch.tokens.ids.tolist() == encoder("max").batch([whole]).tokens.ids.tolist()


def test_half_a_surrogate_pair_in_a_query_or_document():
    broken, mended = ([Texts("q", f"fox {mark}", ["a"], [f"dog {mark}"])] for mark in ("\ud83d", "\ufffd"))
    for how in ("first", "max"):
        assert encoder(how).batch(broken).tokens.ids.tolist() == encoder(how).batch(mended).tokens.ids.tolist()


def test_nothing_to_encode():
    assert list(encoder("max").batches([])) == []
    for how in ("first", "max"):
        batch = encoder(how).batch([Texts("q", "fox", [], [])])
        assert (len(batch), batch.n_docs, batch.tokens.ids.numel()) == (1, 0, 0)
        assert isinstance(encoder(how).tokens([], None), Ragged)


def test_settings_that_leave_no_room_or_tokens_out():
    with pytest.raises(ConfigError, match="leave room for the document: below 27 = max_length 30 - 3 special tokens"):
        TextEncoder(TOKENIZER, ModelSettings(30, 28))
    with pytest.raises(ConfigError, match="stride must be at least 1 and at most 19, the tokens of a passage beside"):
        encoder("mean", 20)
