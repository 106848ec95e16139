"""Rows of tokens of different lengths, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ltr.errors import ShapeError


def _none() -> Tensor:
    return torch.zeros(0, dtype=torch.int64)


@dataclass
class TokenRows:
    """One flat stream of tokens, cut into rows; nothing is padded.

    Attributes:
        ids: [tokens] int64 token ids of all rows, one after the other.
        marks: [tokens] int64, a number for each token that says what it belongs to: the segment (0 query, 1 document)
            where a model tells them apart.
        offsets: [rows + 1] int64; the tokens of row i are ``offsets[i]:offsets[i + 1]``.
    """

    ids: Tensor = field(default_factory=_none)
    marks: Tensor = field(default_factory=_none)
    offsets: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))

    @classmethod
    def of(cls, ids: np.ndarray, marks: np.ndarray, offsets: np.ndarray) -> TokenRows:
        """From numpy arrays.

        >>> TokenRows.of(np.array([101, 7, 102]), np.zeros(3), np.array([0, 3])).lengths
        tensor([3])

        Raises:
            ShapeError: marks or offsets that do not fit the ids.
        """
        check_offsets("TokenRows", "offsets", offsets)
        if ids.shape != marks.shape or ids.ndim != 1 or int(offsets[-1]) != len(ids):
            raise ShapeError(
                f"TokenRows: ids and marks must be [tokens] and offsets rise from 0 to their number, got {list(ids.shape)}, "
                f"{list(marks.shape)} and offsets from {offsets[0]} to {offsets[-1]}"
            )
        return cls(*(torch.from_numpy(np.ascontiguousarray(values, np.int64)) for values in (ids, marks, offsets)))

    def __len__(self) -> int:
        """Number of rows."""
        return self.offsets.numel() - 1

    @property
    def lengths(self) -> Tensor:
        """[rows] int64, tokens of each row."""
        return self.offsets.diff()

    def without_empty(self) -> TokenRows:
        """The rows that hold a token, in their order."""
        return TokenRows(self.ids, self.marks, torch.cat([self.offsets[:1], self.offsets[1:][self.lengths > 0]]))

    def map(self, move: Callable[[Tensor], Tensor]) -> TokenRows:
        """The same with ``move`` done to each tensor."""
        return TokenRows(move(self.ids), move(self.marks), move(self.offsets))

    @classmethod
    def cat(cls, several: Sequence[TokenRows]) -> TokenRows:
        """The rows of several streams, one after the other."""
        ids, marks = torch.cat([s.ids for s in several]), torch.cat([s.marks for s in several])
        return cls(ids, marks, joined_offsets([s.offsets for s in several]))


def check_offsets(who: str, name: str, offsets: np.ndarray, least: int = 0) -> None:
    """Raise ShapeError, in the name of ``who``, where offsets do not start at 0 or rise by less than ``least``."""
    checked = np.asarray(offsets, np.int64)
    if checked.ndim != 1 or not len(checked) or checked[0] or (np.diff(checked) < least).any():
        rise = "rise with each step" if least else "never fall"
        raise ShapeError(f"{who}: {name} must start at 0 and {rise}, got {checked.tolist()!s:.80}")


def joined_offsets(parts: Sequence[Tensor]) -> Tensor:
    """The offsets of what several offsets cut, put one after the other.

    >>> joined_offsets([torch.tensor([0, 2]), torch.tensor([0, 1, 3])]).tolist()
    [0, 2, 3, 5]
    """
    sizes = torch.cat([part.diff() for part in parts])
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
