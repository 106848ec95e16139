"""The nearest known name, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: names at most that a message lists
MOST = 10


def suggestion(name: str, known: Iterable[str]) -> str:
    """Half a sentence for an error message that names the nearest known name, or those that there are, ten at most.

    Args:
        name: what the user wrote.
        known: the names that exist.

    >>> suggestion("ndgc", ["ndcg", "mrr"])
    "did you mean 'ndcg'?"
    >>> suggestion("x", ["ndcg", "mrr"])
    'known: mrr, ndcg'
    """
    names = sorted(set(known))
    lowered = {n.lower(): n for n in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lowered[near[0]]!r}?"
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"known: {', '.join(names[:MOST])}{more}" if names else "none is known"
