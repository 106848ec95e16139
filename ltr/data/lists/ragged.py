"""Integer sequences of different lengths in two flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ltr.io.offsets import offsets_of, spans


class Ragged(NamedTuple):
    """Integer sequences of different lengths, one after the other.

    Attributes:
        values: all integers.
        offsets: [n + 1] int64; sequence i is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]], dtype: Any = np.int32) -> Ragged:
        """From lists of integers.

        >>> Ragged.of([[7, 8], [], [9]]).offsets.tolist()
        [0, 2, 2, 3]
        """
        kept = list(sequences)
        lengths = np.fromiter(map(len, kept), np.int64, len(kept))
        values = np.fromiter(chain.from_iterable(kept), dtype, int(lengths.sum()))
        return cls(values, offsets_of(lengths))

    @classmethod
    def join(cls, parts: Sequence[Ragged]) -> Ragged:
        """Several, one after the other."""
        if not parts:
            return cls(np.zeros(0, np.int32), np.zeros(1, np.int64))
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(np.concatenate([part.values for part in parts]), offsets_of(lengths))

    @property
    def n(self) -> int:
        """Number of sequences."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """[n] int64."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """The sequences ``rows``, in that order.

        >>> Ragged.of([[7, 8], [], [9]]).take(np.array([2, 0])).values.tolist()
        [9, 7, 8]
        """
        lengths = self.lengths[rows]
        return Ragged(self.values[spans(self.offsets[:-1][rows], lengths)], offsets_of(lengths))
