"""Measures of one's own: a function of the judged documents of a query, named by its import path."""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Callable

import numpy as np

from ltr.errors import ConfigError
from ltr.io.importing.imports import imported
from ltr.metrics.measures.judged_ranks import JudgedRanks

#: (grades of a query's judged documents, falling; their ranks from 1, infinite where the run does not hold them within the
#: cutoff) -> the query's value, larger is better
OwnFunction = Callable[[np.ndarray, np.ndarray], float]

#: an import path, which no measure of ltr has: two names with a point between them
PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.A)
_FORM = re.compile(rf"(?P<path>{PATH.pattern})(?:-l(?P<level>\d{{1,12}}))?(?:@(?P<cutoff>\d{{1,12}}))?", re.A)


def own_parts(text: str) -> tuple[str, int, int] | None:
    """(import path, level, cutoff) of the text of an own measure; None for the text of another.

    >>> own_parts("mypkg.measures.first_click-l2@10"), own_parts("rbp.95")
    (('mypkg.measures.first_click', 2, 10), None)
    """
    match = _FORM.fullmatch(text.strip())
    return None if match is None else (match["path"], int(match["level"] or 1), int(match["cutoff"] or 0))


@functools.cache
def function_of(path: str) -> OwnFunction:
    """The function that an import path names.

    Raises:
        ConfigError: with the reason first: no such module or name, or no function.
    """
    function = imported(path)
    if not callable(function) or isinstance(function, type):
        raise ConfigError(
            f"measure {path}: must be a function of (grades, ranks) of a query's judged documents, got {function!r:.80}"
        )
    return function


def own_values(lists: JudgedRanks, path: str, level: int, cutoff: int) -> np.ndarray:
    """[queries] values of an own measure; grades below the level are handed over as 0, queries without a relevant one count 0.

    Raises:
        ConfigError: a function that fails, or a value that is no finite number.
    """
    function, values = function_of(path), np.zeros(len(lists.retrieved))
    ranks = np.where(lists.ranks < 0, np.inf, lists.ranks + 1.0)
    ranks[ranks > (cutoff or np.inf)] = np.inf
    grades = np.where(lists.grades >= level, lists.grades, 0.0)
    for query in np.flatnonzero(lists.relevant(level)).tolist():
        own = slice(lists.offsets[query], lists.offsets[query + 1])
        try:
            value = function(grades[own].copy(), ranks[own].copy())
        except Exception as error:  # a function of the user's own may raise whatever it likes
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise ConfigError(
                f"measure {path}: {type(error).__name__}: {error} ({where.filename}:{where.lineno}), for the grades "
                f"{grades[own].tolist()!s:.80} and ranks {ranks[own].tolist()!s:.80}"
            ) from error
        try:
            values[query] = float(value)
        except (TypeError, ValueError, OverflowError):
            values[query] = np.nan
        if not np.isfinite(values[query]):
            raise ConfigError(f"measure {path}: its value of a query must be a finite number, got {value!r:.80}")
    return values
