import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data.lists.ragged import Ragged
from ltr.data.tokens import pairs as tokens
from ltr.data.tokens.pairs import (
    CHARACTERS_PER_TOKEN,
    PairTemplate,
    encode,
    encoded_lengths,
    load_tokenizer,
    tokenize,
    tokenizer_identity,
)
from ltr.errors import ConfigError, ShapeError
from tests.data.tokenizers import KINDS, WORDS, tiny_tokenizer

TOKENIZERS = {kind: tiny_tokenizer(kind) for kind in KINDS}
QUERIES = ["how to join two paths?", "fox", "Dog, lazy dog!", "ünïcödé zażółć", "the quick brown fox jumps over a dog"]
DOCS = ["os.path.join(a, b) returns the concatenation.", "", "  spaced   out  ", WORDS, "42 penguins; really?\n\tyes"]
each_kind = pytest.mark.parametrize("kind", KINDS)


def by_transformers(tokenizer, query, doc, **options):
    encoded = tokenizer([query], [doc], **options)  # lists: an empty document alone would count as no document
    ids = encoded["input_ids"][0]
    return ids, encoded["token_type_ids"][0] if "token_type_ids" in encoded else [0] * len(ids)


def pieces(encoded):
    cuts = encoded.doc_offsets[1:-1]
    return list(zip(np.split(encoded.input_ids, cuts), np.split(encoded.segment_ids, cuts), strict=True))


@each_kind
def test_encoding_equals_the_tokenizers_own_for_every_pair(kind):
    tokenizer = TOKENIZERS[kind]
    queries, docs = tokenize(tokenizer, QUERIES), tokenize(tokenizer, DOCS)
    rows = np.repeat(np.arange(len(QUERIES)), len(DOCS))
    columns = np.tile(np.arange(len(DOCS)), len(QUERIES))
    encoded = encode(PairTemplate.of(tokenizer), queries, docs.take(columns), 500, 100, query_of=rows)
    assert encoded.truncated == 0
    for (ids, segments), row, column in zip(pieces(encoded), rows, columns, strict=True):
        expected = by_transformers(tokenizer, QUERIES[row], DOCS[column])
        assert (ids.tolist(), segments.tolist()) == expected


@each_kind
@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=6),
    doc=st.text(max_size=80),
    room=st.integers(1, 30),
)
def test_truncation_keeps_the_query_and_cuts_the_document(kind, words, doc, room):
    tokenizer = TOKENIZERS[kind]
    query = " ".join(words)
    template = PairTemplate.of(tokenizer)
    queries, docs = tokenize(tokenizer, [query]), tokenize(tokenizer, [doc])
    most = int(queries.lengths[0])
    max_length = most + template.overhead + room
    encoded = encode(template, queries, docs, max_length, most)
    expected = by_transformers(tokenizer, query, doc, truncation="only_second", max_length=max_length)
    assert (encoded.input_ids.tolist(), encoded.segment_ids.tolist()) == expected
    assert encoded.truncated == int(docs.lengths[0] > room)
    whole = encoded_lengths(template, queries.lengths, docs.lengths, most)
    assert (whole[0] > max_length) == bool(encoded.truncated)


def test_long_queries_lose_their_end():
    tokenizer = TOKENIZERS["bert"]
    template = PairTemplate.of(tokenizer)
    queries, docs = tokenize(tokenizer, [WORDS]), tokenize(tokenizer, ["fox"])
    encoded = encode(template, queries, docs, 100, 4)
    body = [*queries.values[:4], *template.between, *docs.values, *template.after]
    assert encoded.input_ids.tolist() == [*template.before, *body]


def test_templates_of_the_kinds():
    bert, roberta = PairTemplate.of(TOKENIZERS["bert"]), PairTemplate.of(TOKENIZERS["roberta"])
    assert (bert.overhead, bert.query_segment, bert.document_segment, bert.after_segments) == (3, 0, 1, (1,))
    assert (roberta.overhead, roberta.between, roberta.document_segment) == (4, (2, 2), 0)
    assert PairTemplate.of(TOKENIZERS["modernbert"]).document_segment == 0


def test_settings_of_the_tokenizer_do_not_reach_the_encoding():
    tokenizer = tiny_tokenizer("bert")
    identity, plain = tokenizer_identity(tokenizer), tokenize(tokenizer, DOCS)
    tokenizer(DOCS, padding=True, truncation=True, max_length=5)
    assert tokenizer_identity(tokenizer) == identity
    again = tokenize(tokenizer, DOCS)
    assert again.values.tolist() == plain.values.tolist()
    assert again.offsets.tolist() == plain.offsets.tolist()


def test_identity_is_content():
    identities = {tokenizer_identity(tokenizer) for tokenizer in TOKENIZERS.values()}
    assert len(identities) == len(KINDS)
    assert tokenizer_identity(tiny_tokenizer("bert", texts=["something else entirely"])) not in identities


@each_kind
@pytest.mark.parametrize("separator", [" ", "  \n", ""])
def test_beginning_of_long_texts_has_the_same_tokens_as_the_whole(kind, separator):
    tokenizer = TOKENIZERS[kind]
    texts = [separator.join([WORDS] * 30), " " * 900 + WORDS, "fox"]
    most = 20
    assert len(texts[0]) > most * CHARACTERS_PER_TOKEN
    whole, cut = tokenize(tokenizer, texts), tokenize(tokenizer, texts, max_tokens=most)
    for i in range(len(texts)):
        expected = whole.take(np.array([i])).values[:most]
        assert cut.take(np.array([i])).values.tolist() == expected.tolist()


@each_kind
@pytest.mark.parametrize("most", [None, 3, 50])
def test_half_a_surrogate_pair_is_read_as_a_replacement_character(kind, most):
    tokenizer = TOKENIZERS[kind]
    broken = ["smile \ud83d", "\ude00 fox", "a \ud83d\ude00 dog", "fox", "fox " * 200 + "\ud83d"]
    mended = ["smile \ufffd", "\ufffd fox", "a \U0001f600 dog", "fox", "fox " * 200 + "\ufffd"]
    found, expected = tokenize(tokenizer, broken, most), tokenize(tokenizer, mended, most)
    assert [part.tolist() for part in found] == [part.tolist() for part in expected]


def test_sound_texts_are_looked_at_by_the_tokenizer_alone(monkeypatch):
    monkeypatch.setattr(tokens, "readable", None)
    assert tokenize(TOKENIZERS["bert"], DOCS).n == len(DOCS)


def test_other_types_are_refused_as_the_tokenizer_refuses_them():
    with pytest.raises(TypeError, match="TextInputSequence"):
        tokenize(TOKENIZERS["bert"], [("fox", b"dog")])


@pytest.mark.parametrize(("most", "sizes"), [(None, [1, 3, 2]), (2, [4, 2])])
def test_so_many_characters_at_a_time(monkeypatch, most, sizes):
    monkeypatch.setattr(tokens, "SLICE", 60)
    texts = ["dog " * 20, "fox", "a dog " * 5, "lazy " * 6, "", "fox"]
    given, real = [], tokens.token_ids
    monkeypatch.setattr(tokens, "token_ids", lambda b, texts, most: given.append(len(texts)) or real(b, texts, most))
    found = tokens.tokens_of(tokens.backend_of(TOKENIZERS["bert"]), texts, most, np.uint16)
    assert given == sizes
    assert found.values.dtype == np.uint16
    whole = TOKENIZERS["bert"](texts, add_special_tokens=False)["input_ids"]
    assert found.values.tolist() == [token for ids in whole for token in ids[:most]]


def test_tokenize_shows_progress(capsys):
    tokenize(TOKENIZERS["bert"], DOCS, progress="tokenising")
    assert "tokenising" in capsys.readouterr().err


def test_nothing_to_tokenise():
    empty = tokenize(TOKENIZERS["bert"], [])
    assert (empty.n, empty.values.size) == (0, 0)
    assert encode(PairTemplate.of(TOKENIZERS["bert"]), empty, empty, 99).doc_offsets.tolist() == [0]


def test_lengths_that_leave_no_room():
    template = PairTemplate.of(TOKENIZERS["bert"])
    one = Ragged.of([[5]])
    with pytest.raises(ConfigError, match=r"below 17 = max_length 20 - 3 special tokens, got 17"):
        encode(template, one, one, 20, 17)
    with pytest.raises(ConfigError, match=r"max_query_length must be at least 1 .* got 0"):
        encode(template, one, one, 20, 0)


def test_every_document_needs_a_query():
    template = PairTemplate.of(TOKENIZERS["bert"])
    with pytest.raises(ShapeError, match="each of the 2 documents needs a query, got 1"):
        encode(template, Ragged.of([[5]]), Ragged.of([[5], [6]]), 50, 10)


def test_tokenizer_without_backend():
    class Slow:
        pass

    with pytest.raises(ConfigError, match=r"a fast tokenizer .* is needed, got Slow"):
        tokenize(Slow(), ["text"])


def test_tokenizer_that_puts_the_document_first():
    from tokenizers import processors

    tokenizer = tiny_tokenizer("bert")
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $B [SEP] $A:1 [SEP]", special_tokens=ids
    )
    with pytest.raises(ConfigError, match="must encode a pair as query, then document"):
        PairTemplate.of(tokenizer)


def test_loading(tmp_path):
    TOKENIZERS["bert"].save_pretrained(tmp_path / "model")
    assert tokenizer_identity(load_tokenizer(tmp_path / "model")) == tokenizer_identity(TOKENIZERS["bert"])
    with pytest.raises(ConfigError, match=r"tokenizer: cannot load .*nowhere' .a hub id or a model folder"):
        load_tokenizer(tmp_path / "nowhere")


def test_a_tokenizer_that_puts_nothing_between_query_and_document_is_told_of(caplog):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["[UNK]", "what", "is", "an", "apple", "pie"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    template = PairTemplate.of(PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]"))
    assert template.overhead == 0
    (record,) = caplog.records
    assert "puts nothing between query and document (what is an apple pie), so that no model can tell" in record.message


@each_kind
def test_finding_the_template_leaves_the_tokenizer_to_others(kind):
    tokenizer = tiny_tokenizer(kind)
    usual = PairTemplate.of(tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    before = tokenizer.backend_tokenizer.to_str()
    assert PairTemplate.of(tokenizer) == usual
    assert tokenizer.backend_tokenizer.to_str() == before
