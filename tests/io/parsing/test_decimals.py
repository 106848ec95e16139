"""Numbers are read as Python's float reads them, to the last bit, and nearly all of them without it."""

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ltr.io.parsing import decimals
from ltr.io.parsing.decimals import MARGIN, read_decimals


def read(words: list[str]) -> list[float]:
    """The numbers of a text in which letters stand right before and behind each: none of them may count."""
    joined = "1.5x".join(words).encode()
    text = np.frombuffer(b"9" * MARGIN + joined + b"9" * MARGIN, np.uint8)
    lengths = np.array([len(word.encode()) for word in words], np.int64)
    starts = MARGIN + np.cumsum(lengths + 4) - lengths - 4
    return read_decimals(text, starts, starts + lengths).tolist()


def assert_same(words: list[str]) -> None:
    for word, value in zip(words, read(words), strict=True):
        assert struct.pack("d", value) == struct.pack("d", float(word)), word


DECIMALS = st.from_regex(r"[+-]?([0-9]{1,9}|[0-9]{0,9}\.[0-9]{1,20}|[0-9]{1,9}\.)", fullmatch=True)
FLOATS = st.floats(allow_nan=False).map(repr)
FLOAT32 = st.floats(allow_nan=False, width=32).map(repr)
SCORES = st.floats(-1e4, 1e4, allow_nan=False).map(repr) | st.floats(0, 1).map("{:.6f}".format)


@settings(max_examples=400, deadline=None)
@given(st.lists(DECIMALS | FLOATS | FLOAT32 | SCORES, min_size=1, max_size=8))
@example(["0", "-0.0", "+7", "5.", ".5", "-.25", "12345678", "123456789", "1234567.8", "12345678.9"])
@example(
    ["9007199254740993", "0.9007199254740993", "90071992.54740993", "99999999.9999999999", "0.1000000000000000055"]
)
@example(["0." + "0" * 17 + "1", "0." + "0" * 18 + "1", "1." + "0" * 17, "9." + "9" * 17, "0." + "9" * 18])
@example(["12345678.12345678901", "99999999.99999999999", "12345678.123456789012", "1234567.123456789012345678"])
def test_equals_float_to_the_last_bit(words):
    assert_same(words)


def test_any_number_of_digits_before_and_behind_the_point():
    rng = np.random.default_rng(2)
    words = [
        f"{a}.{b}"
        for before in range(11)
        for behind in range(22)
        for a, b in (
            ["".join(map(str, rng.integers(0, 10, n))) for n in (before, behind)],
            ["9" * before, "9" * behind],
        )
        if a or b
    ]
    assert_same(words * 3)


def test_numbers_next_to_halfway_between_two_floats():
    # mantissa 2^(exponent + 1) / 10^k is odd at halfway; what comes nearest has a remainder of 1 or -1 over 5^k
    words = []
    for k in range(10, 19):
        for exponent in range(26, 53):  # the floats around lie 2^-exponent apart
            least = 10**k * 2 ** (52 - exponent)
            for remainder in (1, -1):
                rest = remainder * pow(2 ** (exponent + 1 - k), -1, 5**k) % 5**k
                mantissa = least + (rest - least) % 5**k
                digits = str(mantissa).zfill(k + 1)
                if mantissa < min(2 * least, 10**18, 10 ** (k + 8)):
                    words.append(f"{digits[:-k]}.{digits[-k:]}")
    distances = [
        abs(abs(Fraction(w) - Fraction(float(w))) / Fraction(math.ulp(float(w))) - Fraction(1, 2)) for w in words
    ]
    assert len(words) > 100
    assert max(distances) < 1e-6
    assert_same(words)


def test_many_random_scores():
    rng = np.random.default_rng(0)
    for values in (rng.normal(0, 20, 20_000), rng.random(20_000), rng.random(20_000).astype(np.float32).astype(float)):
        assert_same([repr(value) for value in values.tolist()])


@pytest.mark.parametrize("word", ["1e5", "-1.5E-7", "inf", "-Infinity", "1e400", "123456789.5"])
def test_what_only_float_reads(word):
    assert_same([word, "1.5"])


def test_not_a_number():
    assert math.isnan(read(["nan"])[0])


@pytest.mark.parametrize(
    "word", ["", ".", "-", "+.", "--1", "1.2.3", "1x", "x1", "1.x", "12/4", "1:2", "é", "0x10", "1_0", "1_0.5"]
)
def test_what_is_no_number(word):
    with pytest.raises(ValueError, match="could not convert"):
        read(["1.5", word])


def test_no_numbers():
    assert read([]) == []


@pytest.mark.parametrize("form", ["{:.4f}", "{:.6f}", "{!r}"])
def test_scores_of_usual_forms_hardly_ever_need_float(form, monkeypatch):
    calls = []
    monkeypatch.setattr(decimals, "float", lambda word: calls.append(word) or float(word), raising=False)
    scores = np.random.default_rng(1).normal(0, 20, 5000).tolist()
    assert_same([form.format(score) for score in scores])
    # a number below .1 in full precision has more decimal places than 18
    assert len(calls) <= len([s for s in scores if abs(s) < 0.1 and form == "{!r}"])
