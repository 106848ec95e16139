"""Where long documents are cut: every token is read, the cost is bounded, words stay whole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data.lists.ragged import Ragged
from ltr.data.tokens.pairs import PairTemplate, encode, tokenize
from ltr.data.tokens.passages import LONGEST_WORD, Cutting, check_stride, encode_passages, inside_words
from ltr.errors import ConfigError
from ltr.io.offsets import offsets_of
from tests.data.tokenizers import WORDS, tiny_tokenizer


def numbered(lengths) -> Ragged:
    """Documents whose tokens are all different, so that a passage tells where it was cut."""
    offsets = offsets_of(np.array(lengths, np.int64))
    return Ragged(np.arange(offsets[-1]), offsets)


def by_document(passages: Ragged, counts: np.ndarray) -> list[list[list[int]]]:
    """The passages of each document."""
    cut = [part.tolist() for part in np.split(passages.values, passages.offsets[1:-1])]
    ends = np.cumsum(counts)
    return [cut[end - n : end] for end, n in zip(ends, counts, strict=True)]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 90), min_size=1, max_size=6),
    st.integers(1, 20),
    st.integers(1, 30),
    st.none() | st.integers(1, 5),
    st.none() | st.randoms(use_true_random=False),
    st.floats(0, 1),
)
def test_every_token_is_in_some_passage_and_few_are_in_many(lengths, room, stride, most, random, share):
    docs = numbered(lengths)
    inside = None if random is None else np.array([random.random() < share for _ in docs.values], bool)
    stride = None if stride > room else stride
    rooms = np.full(len(lengths), room)
    passages, counts = Cutting(stride, most, inside).cut(docs, rooms)
    step = room - room // 4 if stride is None else stride
    texts = [part.tolist() for part in np.split(docs.values, docs.offsets[1:-1])]
    for doc, own, length in zip(texts, by_document(passages, counts), lengths, strict=True):
        if length <= room:
            assert own == [doc], "what fits is not cut"
            continue
        read = length if most is None else min(length, room + (most - 1) * step)
        assert own[0] == doc[:room], "the first passage is what cutting leaves"
        assert own[-1][-1] == doc[read - 1]
        assert sorted({token for passage in own for token in passage}) == doc[:read]
        assert all(passage == list(range(passage[0], passage[0] + len(passage))) for passage in own)
        starts = [passage[0] for passage in own]
        assert all(a < b for a, b in pairwise(starts)), "every passage brings something new"
        assert all(len(passage) == room for passage in own[:-1])
        assert len(own[-1]) == room or (inside is not None and len(own[-1]) >= max(1, room - LONGEST_WORD))
        assert len(own) == 1 + -(-(read - room) // step), "as few as the stride allows"
        assert most is None or len(own) <= most


def test_starts_are_spread_evenly():
    passages, _ = Cutting(stride=10).cut(numbered([47]), np.array([12]))
    assert passages.values[passages.offsets[:-1]].tolist() == [0, 8, 17, 26, 35], "not 0, 10, 20, 30, 35"


def test_rooms_may_differ_from_document_to_document():
    docs, rooms = numbered([30, 30, 5]), np.array([8, 10, 8])
    whole = by_document(*Cutting().cut(docs, rooms))
    for i, room in enumerate(rooms):
        alone = by_document(*Cutting().cut(docs.take(np.array([i])), np.array([room])))
        assert whole[i] == alone[0]


@pytest.mark.parametrize("word", [1, 2, 3])
@pytest.mark.parametrize("stride", [None, 8, 9])
def test_passages_start_with_a_word_where_the_overlap_allows(word, stride):
    """Words of a few tokens each; room 12 leaves at least three tokens of overlap."""
    docs = numbered([200])
    inside = np.arange(200) % word > 0
    passages, _ = Cutting(stride, None, inside).cut(docs, np.array([12]))
    starts = passages.values[passages.offsets[:-1]]
    assert len(starts) > 15
    assert not inside[starts].any()
    plain, _ = Cutting(stride).cut(docs, np.array([12]))
    moves = starts - plain.values[plain.offsets[:-1]]
    assert (moves >= 0).all()
    assert (moves < word).all(), "to the next word, not further"


def test_a_passage_never_moves_to_where_the_next_one_starts():
    docs, inside = numbered([6]), np.array([False, True, False, False, False, False])
    passages, counts = Cutting(1, None, inside).cut(docs, np.array([4]))
    assert by_document(passages, counts) == [[[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]]


def test_what_never_begins_a_word_is_cut_anywhere():
    docs = numbered([300])
    passages, _ = Cutting(None, None, np.ones(300, bool)).cut(docs, np.array([40]))
    plain, _ = Cutting().cut(docs, np.array([40]))
    assert passages.values.tolist() == plain.values.tolist()


def test_a_passage_does_not_wait_long_for_a_word():
    docs, room = numbered([2000]), np.array([100])
    plain, _ = Cutting(stride=50).cut(docs, room)
    start = int(plain.offsets[5])  # of the sixth passage
    for further in (LONGEST_WORD, LONGEST_WORD + 1):
        inside = np.arange(2000) != plain.values[start] + further
        passages, _ = Cutting(50, None, inside).cut(docs, room)
        moved = passages.values[passages.offsets[:-1]] - plain.values[plain.offsets[:-1]]
        assert moved[5] == (further if further <= LONGEST_WORD else 0)
        assert not np.delete(moved, 5).any()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 200), st.integers(1, 20), st.integers(1, 6), st.none() | st.integers(1, 20))
def test_tokens_out_of_reach_change_nothing(length, room, most, stride):
    """So texts need not be tokenised behind the last passage."""
    cutting = Cutting(None if stride is None or stride > room else stride, most)
    docs = numbered([length])
    reach = cutting.reach(room)
    assert reach is not None
    within = Ragged(docs.values[:reach], np.array([0, min(length, reach)]))
    for one, other in zip(cutting.cut(docs, np.array([room])), cutting.cut(within, np.array([room])), strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a, b)
    assert Cutting().reach(room) is None


@pytest.mark.parametrize("kind", ["bert", "deberta", "roberta", "modernbert"])
def test_tokens_that_go_on_with_a_word(kind):
    tokenizer = tiny_tokenizer(kind)
    inside = inside_words(tokenizer)
    encoded = tokenizer(" ".join(["jumps zyxwv dogs"] * 3), add_special_tokens=False)
    words, ids = encoded.word_ids(0), encoded["input_ids"]
    begins = [i == 0 or words[i] != words[i - 1] for i in range(len(ids))]
    assert 9 == sum(begins) < len(begins)
    # the first word of a text has no mark in byte-level vocabularies
    assert [not inside[number] for number in ids[1:]] == begins[1:]


def test_a_vocabulary_of_numbers_that_are_not_all_taken():
    tokenizer = tiny_tokenizer("bert")
    tokenizer.add_tokens(["[extra]"])
    assert len(inside_words(tokenizer)) == max(tokenizer.get_vocab().values()) + 1


def test_tokens_that_do_not_tell_where_words_begin():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({"[UNK]": 0, "[CLS]": 1, "fox": 2, "▁": 3}, unk_token="[UNK]")
    assert inside_words(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), unk_token="[UNK]")) is None


def test_each_passage_is_encoded_with_its_query():
    """Equals encoding the pairs one by one; queries of different lengths leave different room."""
    tokenizer = tiny_tokenizer("bert")
    template = PairTemplate.of(tokenizer)
    queries, docs = tokenize(tokenizer, ["fox", "how to join two paths?"]), tokenize(tokenizer, [WORDS, "a fox", WORDS])
    query_of, cutting = np.array([0, 0, 1]), Cutting(stride=5)
    encoded, offsets = encode_passages(template, queries, docs, cutting, 20, 4, query_of)
    assert queries.lengths[0] < 4 < queries.lengths[1]
    rooms = 20 - 3 - np.minimum(queries.lengths, 4)[query_of]
    assert rooms[0] > rooms[2]
    expected = by_document(*cutting.cut(docs, rooms))
    assert np.diff(offsets).tolist() == [len(own) for own in expected]
    pairs = [(q, passage) for q, own in zip(query_of, expected, strict=True) for passage in own]
    for number, (q, passage) in enumerate(pairs):
        alone = encode(template, queries.take(np.array([q])), Ragged.of([passage]), 20, 4)
        own = slice(*encoded.doc_offsets[number : number + 2])
        assert encoded.input_ids[own].tolist() == alone.input_ids.tolist()
        assert encoded.segment_ids[own].tolist() == alone.segment_ids.tolist()
    assert (np.diff(encoded.doc_offsets) <= 20).all()
    assert encoded.truncated == 0


@pytest.mark.parametrize("stride", [0, 10])
def test_a_stride_that_leaves_tokens_out_or_no_progress(stride):
    template = PairTemplate.of(tiny_tokenizer("bert"))
    sentence = (
        r"stride must be at least 1 and at most 9, the tokens of a passage beside the longest query \(max_length 20 - "
        rf"max_query_length 8 - 3 special tokens\), or passages would leave tokens out; got {stride}"
    )
    with pytest.raises(ConfigError, match=sentence):
        check_stride(template, stride, 20, 8)
    one = Ragged.of([[5]])
    with pytest.raises(ConfigError, match=sentence):
        encode_passages(template, one, one, Cutting(stride), 20, 8, np.array([0]))
    check_stride(template, 9, 20, 8)
    check_stride(template, None, 20, 8)


def test_lengths_that_leave_no_room():
    one = Ragged.of([[5]])
    with pytest.raises(ConfigError, match="max_query_length must be at least 1 and leave room for the document"):
        encode_passages(PairTemplate.of(tiny_tokenizer("bert")), one, one, Cutting(), 20, 17, np.array([0]))
