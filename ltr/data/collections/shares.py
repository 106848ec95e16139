"""A share of a collection's queries, so that queries can be held out of any data set by writing its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from ltr.errors import DataError

_SLICE = re.compile(r"(?P<name>.+)\[(?P<low>\d+(?:\.\d+)?%)?:(?P<high>\d+(?:\.\d+)?%)?\]")


def sliced(name: str) -> tuple[str, float, float] | None:
    """(name, low, high) of ``name[low%:high%]`` with shares in [0, 1], or None for a name without brackets.

    Raises:
        DataError: brackets that are no such slice, or an empty one.

    >>> sliced("beir/scifact/train[80%:]")
    ('beir/scifact/train', 0.8, 1.0)
    """
    if not name.endswith("]"):
        return None
    match = _SLICE.fullmatch(name)
    if not match:
        raise DataError(f"{name}: a share of the queries is written NAME[:80%] or NAME[80%:] or NAME[10%:20%]")
    low, high = (float(match[k].rstrip("%")) / 100 if match[k] else default for k, default in (("low", 0), ("high", 1)))
    if not 0 <= low < high <= 1:
        raise DataError(f"{name}: the share must rise within 0% to 100%, got {100 * low:g}% to {100 * high:g}%")
    return match["name"], float(low), float(high)


def unsliced(name: str) -> str:
    """The name of a whole, from its own or from that of a share of it; nothing is refused, as ``sliced`` does.

    >>> unsliced("logs/log[1].csv[:80%]"), unsliced("logs/log[1].csv")
    ('logs/log[1].csv', 'logs/log[1].csv')
    """
    return re.sub(r"\[[^\[\]]*\]$", "", name)


def share_of(query_ids: Iterable[str], low: float, high: float) -> set[str]:
    """The ids between two shares, in the order of a hash of the ids.

    The choice is random and the same on every machine; parts that do not overlap share no query.

    >>> ids = ["q1", "q2", "q3", "q4"]
    >>> sorted(share_of(ids, 0, 0.5) | share_of(ids, 0.5, 1)), len(share_of(ids, 0, 0.5))
    (['q1', 'q2', 'q3', 'q4'], 2)
    """
    ordered = sorted(query_ids, key=_hash)
    return set(ordered[round(low * len(ordered)) : round(high * len(ordered))])


def _hash(query_id: str) -> bytes:
    return hashlib.blake2b(query_id.encode(), digest_size=16).digest()
