"""Names that users write: the nearest known one, for error messages, and the word for none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal


def unless_off(name: str | Literal[False] | None) -> str | None:
    """A setting's name, or None where it is switched off: ``null`` is the word for that, and ``off`` is understood.

    In a YAML file ``off`` is the boolean, and reaches us as False.

    >>> unless_off("dev"), unless_off("off"), unless_off(False), unless_off(None)
    ('dev', None, None, None)
    """
    return None if name is False or name == "off" else name


#: names at most that a message lists
MOST = 10
#: characters of a name that a message shows
LONGEST = 80


def suggestion(name: object, known: Iterable[str]) -> str:
    """Half a sentence for an error message that names the nearest known name, or those that there are, ten at most.

    Args:
        name: what the user wrote; in YAML it may be a number.
        known: the names that exist.

    >>> suggestion("ndgc", ["ndcg", "mrr"])
    "did you mean 'ndcg'?"
    >>> suggestion("x", ["ndcg", "mrr"])
    'known: mrr, ndcg'
    """
    names = sorted(set(known))
    lowered = {n.lower(): n for n in names}
    near = difflib.get_close_matches(str(name)[:LONGEST].lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f"did you mean {cut(lowered[near[0]])!r}?"
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"known: {', '.join(map(cut, names[:MOST]))}{more}" if names else "none is known"


def cut(name: str) -> str:
    """A name in an error message: a file may hold one of megabytes.

    >>> cut("x" * 5000)[75:]
    'xxxxx ...'
    """
    return name if len(name) <= LONGEST else f"{name[:LONGEST]} ..."


def is_class_name(name: str) -> bool:
    """Whether a name has the form of a class: a capital first, or second as some papers have it.

    >>> [is_class_name(name) for name in ("DPO", "fDPO", "dead_share", "")]
    [True, True, False, False]
    """
    return any(letter.isupper() for letter in name[:2])
