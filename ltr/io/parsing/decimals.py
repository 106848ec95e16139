"""Decimal numbers in bytes read many at a time, to the nearest float64 as Python's ``float`` reads them."""

from __future__ import annotations

import numpy as np

#: bytes that must be readable before the first number and behind the last one
MARGIN = 24
#: powers of ten that int64 holds; as float64 they are exact too
POWERS = 10 ** np.arange(19)
#: digits of a mantissa that int64 holds
DIGITS = 18
#: whole numbers up to here are exact in float64
EXACT = 2**53
MINUS, PLUS, POINT = 45, 43, 46


def _bytes_of(byte: int) -> np.uint64:
    return np.uint64(byte * 0x0101010101010101)


def words_of(text: np.ndarray) -> np.ndarray:
    """[bytes - 7] the eight bytes from each place on, as a little-endian word; a view, for fancy indexing only.

    >>> words = words_of(np.frombuffer(b"abcdefghij", np.uint8))
    >>> words[np.array([0, 2])].tobytes()
    b'abcdefghcdefghij'
    """
    return np.ndarray((len(text) - 7,), "<u8", buffer=text, strides=(1,))


def read_decimals(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """[numbers] float64 of the numbers at ``text[starts[i]:ends[i]]``.

    Eight digits are read at once by arithmetic on 64-bit words: 25 ns a number where ``float`` takes 300. What this does
    not read (exponents, more than 18 digits, infinity) goes to ``float``, so the result is ``float``'s in every case,
    but for ``1_0``: that is how programs write numbers, and no number here.

    Args:
        text: [bytes] uint8, with ``MARGIN`` bytes to spare at both ends.
        starts: [numbers] where each begins.
        ends: [numbers] where each ends.

    Raises:
        ValueError: something is no number.

    >>> text = np.frombuffer(b" " * 24 + b"-1.25 3e2" + b" " * 24, np.uint8)
    >>> read_decimals(text, np.array([24, 30]), np.array([29, 33])).tolist()
    [-1.25, 300.0]
    """
    sign = text[starts]
    first = starts + ((sign == MINUS) | (sign == PLUS))
    mantissa, places, read = _mantissas(words_of(text), first, ends)
    values = mantissa / POWERS[places]  # both exact up to 2^53: rounded once, so to the nearest
    long = np.flatnonzero(read & (mantissa > EXACT))
    if len(long):
        values[long] = _divided(mantissa[long], POWERS[places[long]])
    np.negative(values, out=values, where=sign == MINUS)
    for i in np.flatnonzero(~read).tolist():
        word = text[starts[i] : ends[i]].tobytes()
        if b"_" in word:
            raise ValueError(f"could not convert {word!r}: a number has no underscores")
        values[i] = float(word)
    return values


def _mantissas(words: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unsigned numbers as (whole number, decimal places, whether it was read)."""
    word = words[starts]
    length = ends - starts
    whole = np.minimum(_first_point(word), length)
    places = length - whole - (whole < length)
    read = (whole + places > 0) & ((whole < 8) | (length == 8))
    mantissa, wrong = _digits(word << _bits(8 - whole), whole)
    read &= ~wrong
    most = int(places.max(initial=0))
    if most > DIGITS - 8:  # what stands before the point must leave room for what stands behind it
        read &= places <= DIGITS
        places = np.minimum(places, DIGITS)
        read &= mantissa < POWERS[DIGITS - places]
    mantissa *= POWERS[places]
    for done in range(0, min(most, DIGITS), 8):
        part, wrong = _digits(words[ends - done - 8], np.minimum(np.maximum(places - done, 0), 8))
        mantissa += part * POWERS[done]
        read &= ~wrong
    return mantissa, places, read


def _bits(n_bytes: np.ndarray) -> np.ndarray:
    return (8 * n_bytes).view(np.uint64)


def _first_point(word: np.ndarray) -> np.ndarray:
    """[words] how many bytes stand before the first point, 8 without one."""
    word = word ^ _bytes_of(POINT)
    zero = (word - _bytes_of(1)) & ~word & _bytes_of(0x80)  # its lowest bit is the first zero byte's
    low = (zero & (~zero + np.uint64(1))) >> np.uint64(7)
    # the lowest bit of byte i brings byte 7 - i of the factor to the top; without one the product is 0, and less is huge
    return np.minimum((low * np.uint64(0x0102030405060708) >> np.uint64(56)) - np.uint64(1), np.uint64(8)).view(
        np.int64
    )


def _digits(word: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(number, whether it is none) of the last ``n`` bytes of each word, from 0 to 8.

    Source: D. Lemire, "Quickly parsing eight digits", 2018: pairs, fours and eights of digits joined by three
    multiplications.
    """
    unused = _bits(8 - n)
    digits = ((word ^ _bytes_of(48)) >> unused) << unused
    wrong = ((digits + _bytes_of(0x76)) | digits) & _bytes_of(0x80) != 0
    pairs = digits * np.uint64(10) + (digits >> np.uint64(8))
    mask = np.uint64(0x000000FF000000FF)
    joined = (pairs & mask) * np.uint64(0x000F424000000064)
    joined += ((pairs >> np.uint64(16)) & mask) * np.uint64(0x0000271000000001)
    return (joined >> np.uint64(32)).view(np.int64), wrong


def _divided(mantissa: np.ndarray, power: np.ndarray) -> np.ndarray:
    """mantissa / power to the nearest float64, for mantissas that float64 does not hold.

    What the rounded quotient leaves over is computed exactly, but for its last rounding, and added: an error below
    2^-102 of the quotient. The true one is at least 1 / (5^18 2^54) > 2^-96 of itself away from halfway between two
    floats, as it is a whole number over 5^18 there: so the nearest is found.

    Source: T. J. Dekker, "A floating-point technique for extending the available precision", 1971 (exact product).
    """
    high = mantissa.astype(np.float64)
    low = (mantissa - high.astype(np.int64)).astype(np.float64)
    divisor = power.astype(np.float64)
    quotient = high / divisor
    product = quotient * divisor
    a, b = _halves(quotient), _halves(divisor)
    error = ((a[0] * b[0] - product) + a[0] * b[1] + a[1] * b[0]) + a[1] * b[1]
    return quotient + ((high - product) - error + low) / divisor


def _halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x as a sum of two numbers of 26 bits."""
    split = x * 134217729.0
    high = split - (split - x)
    return high, x - high
