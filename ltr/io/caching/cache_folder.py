"""Where the user's cache is: indexes, tokens, vectors, compiled measures and all else that is computed once."""

from __future__ import annotations

import os
from pathlib import Path

from ltr.errors import DataError


def cache_folder(*parts: str) -> Path:
    """A folder below the user's cache (``$LTR_CACHE``, else ``$XDG_CACHE_HOME/ltr``, else ``~/.cache/ltr``), created.

    Raises:
        DataError: it is not there, and the cache cannot be written; the user has no home, and no other place is named.
    """
    home = os.environ.get("LTR_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ltr")
    home = os.path.expanduser(home)  # a shell leaves ~ in a variable as it is within quotes
    if home.startswith("~"):  # a user of a container that nothing is known of but a number
        raise DataError("cache: the user has no home folder; set LTR_CACHE to a folder that can be written")
    folder = Path(home, *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = f"cannot write {folder}: {error.strerror}; nothing was written"
        raise DataError(f"{said}; LTR_CACHE may name another place for the cache") from error
    return folder
