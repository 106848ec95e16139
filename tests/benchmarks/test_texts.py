"""The texts that speed is measured on: always the same, as long as they are said to be."""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import sys

import pytest


@pytest.fixture
def texts(speed):
    from common import texts

    return texts


def test_the_same_texts_in_every_process(texts, speed):
    code = "import hashlib, sys; sys.path.insert(0, sys.argv[1]); from common.texts import *; "
    code += "print(hashlib.md5(repr(questions(5, 8)).encode()).hexdigest())"
    other = subprocess.check_output([sys.executable, "-c", code, str(speed)], text=True)
    assert hashlib.md5(repr(texts.questions(5, 8)).encode()).hexdigest() == other.strip()
    assert texts.questions(5, 8) == texts.questions(5, 8)
    assert texts.questions(5, 8) != texts.questions(5, 8, seed=1)


def test_lengths_are_those_of_ms_marco(texts):
    asked = texts.questions(100, 16)
    lengths = [len(doc.split()) for q in asked for doc in q.docs]
    assert statistics.mean(lengths) == pytest.approx(56, abs=3)
    assert 8 <= min(lengths) <= max(lengths) <= texts.LONGEST
    assert statistics.mean(len(q.query.split()) for q in asked) == pytest.approx(6, abs=0.7)
    assert all(q.query == q.query.lower() for q in asked)


def test_the_right_passage_holds_half_of_the_query_at_a_place_of_chance(texts):
    asked = texts.questions(60, 8)
    held = []
    for q in asked:
        passages = [{word.strip(".,;:?!").lower() for word in doc.split()} for doc in q.docs]
        held.append([sum(word in words for word in q.query.split()) / len(q.query.split()) for words in passages])
        assert not set(q.query.split()) & texts.STOP
    right = [own[q.positive] for own, q in zip(held, asked, strict=True)]
    assert statistics.mean(right) == pytest.approx(texts.OWN, abs=0.1)
    assert statistics.mean(share for own in held for share in own) < texts.OWN / 2
    assert {q.positive for q in asked} == set(range(8))


def test_half_of_the_others_come_from_nearby(texts):
    words, asked = " ".join(texts.stream()), texts.questions(20, 9)
    near = []
    for q in asked:
        places = [words.index(doc) for doc in q.docs]
        # nearby passages follow within 8000 words, which are some 50,000 characters
        near += [0 < place - places[q.positive] < 8 * texts.NEAR for place in places]
    first, last = texts.PARTS["test"]
    window = 8 * texts.NEAR / (len(words) * (last - first))  # some of the other half lie there by chance
    assert window < 1
    assert sum(near) / (20 * 8) == pytest.approx(0.5 + 0.5 * (window - window**2 / 2), abs=0.1)


def test_training_and_test_share_no_text(texts):
    n = len(texts.stream())
    words = " ".join(texts.stream())
    border = len(" ".join(texts.stream()[: int(texts.PARTS["test"][0] * n)]))
    ends = [words.index(doc) + len(doc) for q in texts.questions(40, 8, "train") for doc in q.docs]
    starts = [words.index(doc) for q in texts.questions(40, 8, "test") for doc in q.docs if len(doc) > 200]
    assert max(ends) <= border <= min(starts) + 1


def test_a_python_without_documentation_is_told(texts, monkeypatch):
    monkeypatch.setattr(texts, "stream", lambda: ["word"] * 100)
    with pytest.raises(SystemExit, match="texts: the standard library of this Python documents too little: 100 words"):
        texts.questions(1, 2)
