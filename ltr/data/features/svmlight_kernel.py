"""The compiled parser of SVMlight lines: bytes in, flat arrays out. Import it only to read a file (numba is slow)."""

from __future__ import annotations

import numpy as np

from ltr.io.caching.compiled import keep_compiled

keep_compiled()

from numba import njit  # noqa: E402  (its cache must be set before)

#: what can be wrong with a line; the reader words it
FINE, LABEL, NO_QID, ENTRY, INDEX, ORDER, BEYOND, VALUE = range(8)

#: powers of ten that are exact in float64: a mantissa up to 2**53 times or divided by one of them is rounded once
POWERS = 10.0 ** np.arange(23)
EXACT = 2**53

TAB, NEWLINE, RETURN, SPACE, HASH, PLUS, MINUS, DOT, ZERO, NINE, COLON = 9, 10, 13, 32, 35, 43, 45, 46, 48, 57, 58
LETTER_Q, LETTER_I, LETTER_D, LETTER_E, CAPITAL_E = 113, 105, 100, 101, 69
#: digits of a mantissa that int64 holds
DIGITS = 18


@njit(cache=True, nogil=True, inline="always")
def _blank(byte):
    return byte in (SPACE, TAB, RETURN)


@njit(cache=True, nogil=True, inline="always")
def _digit(byte):
    return ZERO <= byte <= NINE


@njit(cache=True, nogil=True, inline="always")
def _ends(byte):
    return _blank(byte) or byte in (NEWLINE, HASH)


@njit(cache=True, nogil=True, inline="always")
def _signed(text, at, end):
    """(whether a minus stands there, the place behind the sign)."""
    if at < end and (text[at] == MINUS or text[at] == PLUS):
        return text[at] == MINUS, at + 1
    return False, at


@njit(cache=True, nogil=True)
def _power(text, at, end):
    """(exponent, where it ends, whether it is one) of the digits, with a sign perhaps, behind an e."""
    down, at = _signed(text, at, end)
    if at >= end or not _digit(text[at]):
        return 0, at, False
    power = 0
    while at < end and _digit(text[at]):
        power = min(power * 10 + (text[at] - ZERO), 100_000)
        at += 1
    return -power if down else power, at, True


@njit(cache=True, nogil=True)
def number(text, at, end):
    """(value, where it ends, 0 = exact, 1 = to be read by Python, 2 = no number) of the number that begins at ``at``."""
    negative, at = _signed(text, at, end)
    mantissa, exponent, kept = np.int64(0), 0, 0
    begin, point = at, -1
    while at < end and (_digit(text[at]) or (text[at] == DOT and point < 0)):
        if text[at] == DOT:
            point = at
        elif kept < DIGITS:
            mantissa = mantissa * 10 + (text[at] - ZERO)
            kept += mantissa > 0
            exponent -= point >= 0
        at += 1  # digits beyond DIGITS are left out: such a mantissa is above EXACT
    if at - begin == (point >= 0):  # no digit
        return 0.0, at, 2
    if at < end and (text[at] == LETTER_E or text[at] == CAPITAL_E):
        power, at, good = _power(text, at + 1, end)
        exponent += power
        if not good:
            return 0.0, at, 2
    if at < end and not _ends(text[at]):
        return 0.0, at, 2
    if mantissa and (mantissa > EXACT or abs(exponent) >= len(POWERS)):
        return 0.0, at, 1
    value = float(mantissa)
    if mantissa:
        value = value / POWERS[-exponent] if exponent < 0 else value * POWERS[exponent]
    return -value if negative else value, at, 0


@njit(cache=True, nogil=True, inline="always")
def _past_blanks(text, at, end):
    while at < end and _blank(text[at]):
        at += 1
    return at


@njit(cache=True, nogil=True)
def parse(text, end, most, rows, row_ends, labels, columns, values, slow):
    """Read whole lines of ``text[:end]``.

    Args:
        text: bytes.
        end: behind a line's end, or the text's.
        most: largest feature index that is allowed.
        rows: [lines, 6] int64, filled: line number in this text from 0, query id from and to, comment from (-1 for none)
            and to, whether the query id differs from that of the row before.
        row_ends: [lines] int64, filled: values up to and with each row.
        labels: [lines] float64, filled.
        columns: [values] int32, filled: feature indices from 0.
        values: [values] float64, filled.
        slow: [lines + values, 2] int64, filled: (value's place, or -1 - row for a label; where its text begins) of the
            numbers that Python must read.

    Returns:
        (rows, values, slow numbers, lines, what is wrong, where its text begins).
    """
    at, line, n_rows, n_values, n_slow = 0, 0, 0, 0, 0
    while at < end:
        at = _past_blanks(text, at, end)
        if at < end and text[at] != NEWLINE and text[at] != HASH:
            begin = at
            label, at, state = number(text, at, end)
            if state == 2:
                return n_rows, n_values, n_slow, line, LABEL, begin
            labels[n_rows] = label
            if state == 1:
                slow[n_slow, 0], slow[n_slow, 1] = -1 - n_rows, begin
                n_slow += 1
            start, at = _query(text, _past_blanks(text, at, end), end)
            if start == at:
                return n_rows, n_values, n_slow, line, NO_QID, begin
            rows[n_rows, 0], rows[n_rows, 1], rows[n_rows, 2] = line, start, at
            rows[n_rows, 5] = n_rows == 0 or _differ(text, start, at, rows[n_rows - 1, 1], rows[n_rows - 1, 2])
            at, n_values, n_slow, wrong = _entries(text, at, end, most, columns, values, slow, n_values, n_slow)
            if wrong != FINE:
                return n_rows, n_values, n_slow, line, wrong, at
            row_ends[n_rows] = n_values
            rows[n_rows, 3] = at + 1 if at < end and text[at] == HASH else -1
            at = _line_end(text, at, end)
            rows[n_rows, 4] = at
            n_rows += 1
        at = _line_end(text, at, end) + 1
        line += 1
    return n_rows, n_values, n_slow, line, FINE, 0


@njit(cache=True, nogil=True)
def _differ(text, start, end, other, other_end):
    if end - start != other_end - other:
        return True
    for step in range(end - start):  # noqa: SIM110 (no generators here)
        if text[start + step] != text[other + step]:
            return True
    return False


@njit(cache=True, nogil=True)
def _line_end(text, at, end):
    while at < end and text[at] != NEWLINE:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _query(text, at, end):
    """Where the id of ``qid:ID`` begins and ends; the same place where there is none."""
    if (
        at + 4 >= end
        or text[at] != LETTER_Q
        or text[at + 1] != LETTER_I
        or text[at + 2] != LETTER_D
        or text[at + 3] != COLON
    ):
        return at, at
    start = at + 4
    at = start
    while at < end and not _ends(text[at]):
        at += 1
    return start, at


@njit(cache=True, nogil=True)
def _entries(text, at, end, most, columns, values, slow, n_values, n_slow):
    """Read the ``index:value`` of one line: (where it stops, values, slow numbers, what is wrong)."""
    last = 0
    while True:
        at = _past_blanks(text, at, end)
        if at >= end or text[at] == NEWLINE or text[at] == HASH:
            return at, n_values, n_slow, FINE
        begin, index = at, 0
        while at < end and _digit(text[at]):
            index = min(index * 10 + (text[at] - ZERO), 4_000_000_000)
            at += 1
        if at == begin or at >= end or text[at] != COLON:
            return begin, n_values, n_slow, ENTRY
        if index == 0:
            return begin, n_values, n_slow, INDEX
        if index <= last:
            return begin, n_values, n_slow, ORDER
        if index > most:
            return begin, n_values, n_slow, BEYOND
        last, start = index, at + 1
        value, at, state = number(text, start, end)
        if state == 2:
            return begin, n_values, n_slow, VALUE
        if state == 1:
            slow[n_slow, 0], slow[n_slow, 1] = n_values, start
            n_slow += 1
        columns[n_values] = index - 1
        values[n_values] = value
        n_values += 1


@njit(cache=True, nogil=True)
def spread(row_ends, columns, values, dense):
    """Write the values of each row into a row of a matrix of zeros."""
    start = 0
    for row in range(len(row_ends)):
        for at in range(start, row_ends[row]):
            dense[row, columns[at]] = values[at]
        start = row_ends[row]
