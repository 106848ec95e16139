"""Ids as bytes, their numbers in order of appearance, and their digests."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.data.collections import ids as module
from ltr.data.collections.ids import Ids, content_of, digests, distinct
from ltr.io.runs import as_bytes

WORDS = st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12), max_size=30)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4)


@given(WORDS)
def test_a_sequence_of_str(words):
    ids = Ids.of(words)
    assert list(ids) == words == [ids[i] for i in range(len(ids))]
    assert ids == words
    assert ids == Ids.of(ids)
    assert list(ids[1:3]) == words[1:3]
    assert list(ids[np.arange(len(words))[::-1]]) == words[::-1]
    assert ids != [*words, "more"]
    assert list(ids.distinct()) == list(dict.fromkeys(words))


def test_what_it_is_not_equal_to():
    assert Ids.of(["a", "b"]) != ["a", "c"]
    assert Ids.of(["a"]) != 7
    assert repr(Ids.of(["a", "b", "c", "d"])) == "Ids(['a', 'b', 'c'], …: 4)"


def test_eight_bytes_each():
    assert Ids.of([str(i) for i in range(1000)]).raw.nbytes == 8000


@given(WORDS)
def test_numbers_in_order_of_appearance(words):
    first, numbers = distinct(as_bytes(words))
    order = list(dict.fromkeys(words))
    assert [words[i] for i in first] == order
    assert [order[number] for number in numbers] == words
    assert numbers.dtype == np.int32


@given(WORDS)
def test_digests_are_a_known_hash_whatever_form_the_ids_have(words):
    found = digests(words)
    assert np.array_equal(found, digests(Ids.of(words)))
    expected = [hashlib.blake2b(word.encode(), digest_size=16).digest() for word in words]
    assert found.T.tobytes() == b"".join(expected)


def test_content_tells_sequences_apart():
    found = [content_of(ids) for ids in (["a", "b"], ["b", "a"], ["ab"], ["a"], [], ["a", "b", "b"])]
    assert len(set(found)) == len(found)
    assert content_of(Ids.of(["a", "b"])) == found[0]
