"""Features whose values lie nearer to each other than float32 can keep apart."""

from __future__ import annotations

import numpy as np

#: values of a file that are looked at: what lies so near does so from the beginning
SOME = 200_000
#: share of a feature's range from which on an error of rounding is told
SHARE = 1e-3


def coarse(columns: np.ndarray, values: np.ndarray) -> list[int]:
    """Columns whose values float32 rounds by more than ``SHARE`` of their range, such as seconds since 1970 within an hour.

    Args:
        columns: [values] the column of each.
        values: [values] float64, as the file has them; 0 may stand for any number of others.

    >>> coarse(np.array([0, 1, 0, 1]), np.array([1.7e9, 1.0, 1.7e9 + 3, 5.0]))
    [0]
    """
    held = np.abs(values[:SOME]) < np.finfo(np.float32).max  # what is beyond is told elsewhere
    columns, values = columns[:SOME][held], values[:SOME][held]
    n = int(columns.max(initial=-1)) + 1
    low, high, error = np.full(n, np.inf), np.full(n, -np.inf), np.zeros(n)
    np.minimum.at(low, columns, values)
    np.maximum.at(high, columns, values)
    np.maximum.at(error, columns, np.abs(values - values.astype(np.float32)))
    some = np.isfinite(low)
    return np.flatnonzero(
        some & (error > SHARE * np.subtract(high, low, where=some, out=np.zeros(n))) & (high > low)
    ).tolist()


def coarse_note(name: str) -> str:
    """What is said of such a feature."""
    return (
        f"the feature {name} has values that lie nearer to each other than float32 keeps apart, so that many become one: "
        "subtract what they have in common (such as the first time from times)"
    )
