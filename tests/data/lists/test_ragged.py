import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.data.lists.ragged import Ragged


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6), st.data())
@settings(max_examples=50, deadline=None)
def test_ragged_take_and_join(sequences, data):
    ragged = Ragged.of(sequences)
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1), max_size=8)) if sequences else []
    taken = ragged.take(np.array(rows, np.int64))
    assert taken.values.tolist() == [value for row in rows for value in sequences[row]]
    joined = Ragged.join([ragged, taken])
    assert joined.n == len(sequences) + len(rows)
    assert joined.lengths.tolist() == [len(s) for s in sequences] + [len(sequences[row]) for row in rows]


def test_nothing_to_join():
    assert (Ragged.join([]).n, Ragged.join([]).values.size) == (0, 0)
