"""What goes wrong while a data set is read, which may download: one sentence that names the data set."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import TypeVar
from urllib.parse import urlsplit

from ltr.errors import DataError, LtrError

T = TypeVar("T")

#: longest reason that is passed on as it came
LONGEST = 200
#: how ir-datasets begins what it logs of each attempt that failed
ATTEMPTS = ("download error", "Download failed")


@contextlib.contextmanager
def reading(name: str, what: str) -> Iterator[None]:
    """Turn whatever is raised inside the block into one sentence.

    Args:
        name: of the collection.
        what: is read of it.

    Raises:
        DataError: naming collection, reason and what to do.
    """
    try:
        yield
    except (LtrError, MemoryError):
        raise
    except (
        Exception
    ) as error:  # each data set has a reader of its own, over networks, archives and XML, with errors of its own
        raise DataError(
            f"{name}: its {what} could not be read ({_reason(error)}); ir-datasets downloads on first use: look at the "
            "network and at the data set's own instructions on https://ir-datasets.com"
        ) from error


def each(items: Iterable[T], name: str, what: str) -> Iterator[T]:
    """Pass items on; generators download when the first item is asked for. Raises DataError as ``reading`` does."""
    with reading(name, what):
        yield from items


def _reason(error: Exception) -> str:
    """What went wrong, in a line: of several sources that were tried, what the first said."""
    tried = next((given for given in error.args if isinstance(given, list) and given), None)
    if tried is not None and isinstance(tried[0], tuple) and isinstance(tried[0][-1], Exception):
        return _reason(tried[0][-1])
    url = getattr(getattr(error, "request", None), "url", None)
    if url and getattr(error, "response", None) is None:
        return f"{type(error).__name__}: no answer from {urlsplit(url).hostname}"
    said = " ".join(str(error).split())
    said = said if len(said) <= LONGEST else f"{said[:LONGEST]} …"
    return f"{type(error).__name__}: {said}"


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(ATTEMPTS)


def quieten() -> None:
    """Leave out what ir-datasets logs of each attempt to download: the error at the end says it once."""
    logging.getLogger("ir_datasets").addFilter(_is_news)
