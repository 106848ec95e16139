"""What the documents of a part of the data are labelled with, as it was read: in full precision, beside the batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PartLabels:
    """The labels of one part (train, dev, test), in the order of its lists and documents.

    Batches carry labels in float32 and in the unit that is learnt. A label of 0 that was scaled, rounded and scaled back
    is no longer 0, and what was distinct may be equal: whatever is measured takes the labels from here.

    Attributes:
        query_ids: one per list.
        offsets: [lists + 1] the documents of list i are ``offsets[i]:offsets[i + 1]``, as batches have them.
        learnt: [documents] float64 in the unit that is learnt.
        read: [documents] float64 as the source gives them: what nDCG with labels as gains sums up.
        unit: of ``learnt``, in words; empty where it is not known.
        read_unit: of ``read``.
        lengths: [documents] how long each is, where length alone may explain labels; None where nobody asks.
    """

    query_ids: Sequence[str]
    offsets: np.ndarray
    learnt: np.ndarray
    read: np.ndarray
    unit: str = ""
    read_unit: str = ""
    lengths: np.ndarray | None = None
