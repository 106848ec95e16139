"""The notation that all measures share: ``name[.share][-l<level>][@cutoff]``."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from ltr.errors import ConfigError

_FORM = re.compile(r"(?P<name>[a-z_0-9-]+?)(?P<tail>\.\d+)?(?:-l(?P<l>\d+))?(?:@(?P<k>\d+))?(?:-l(?P<late>\d+))?", re.A)
#: digits of a cutoff or level: more than any run has documents, and what ``int`` always takes
DIGITS = 12


class Notation(NamedTuple):
    """A measure's text, taken apart.

    Attributes:
        name: lower case.
        tail: number behind a point, in [0, 1): a persistence, a share; None where there is none.
        level: relevance level; 1 where none is given.
        cutoff: ranks that count; 0 where none is given.
    """

    name: str
    tail: float | None
    level: int
    cutoff: int


def parse_notation(text: str, hint: str) -> Notation:
    """The parts of a measure's text; ``@cutoff-l<level>`` is understood as well.

    Args:
        text: such as ``precision-l2@5``.
        hint: end of the message for a text without this form.

    Raises:
        ConfigError: another form, a cutoff of 0, or a number that no run can reach.

    >>> parse_notation("rmse_top.2", "")
    Notation(name='rmse_top', tail=0.2, level=1, cutoff=0)
    """
    match = _FORM.fullmatch(text.strip().lower())
    if not match or (match["l"] and match["late"]):
        raise ConfigError(f"no measure {text!r}: write name, then -l<level>, then @cutoff; {hint}")
    if longest := next((n for n in match.group("l", "k", "late") if n and len(n) > DIGITS), ""):
        raise ConfigError(f"measure {text[:40]}...: a cutoff or level has at most {DIGITS} digits, got {len(longest)}")
    if match["k"] and int(match["k"]) == 0:
        raise ConfigError(f"measure {text}: the cutoff must be at least 1; leave @0 out to count all ranks")
    tail = match["tail"]
    level = int(match["l"] or match["late"] or 1)
    return Notation(match["name"], float(tail) if tail else None, level, int(match["k"] or 0))


def notation_of(name: str, tail: float | None, level: int, cutoff: int) -> str:
    """The text that is taken apart into these parts.

    >>> notation_of("rbp", 0.95, 2, 0)
    'rbp.95-l2'
    """
    share = np.format_float_positional(tail, trim="-").removeprefix("0") if tail else ""
    return f"{name}{share}{f'-l{level}' if level > 1 else ''}{f'@{cutoff}' if cutoff else ''}"
