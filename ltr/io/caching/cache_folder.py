"""Where the user's cache is: indexes, tokens, vectors, compiled measures and all else that is computed once."""

from __future__ import annotations

import os
from pathlib import Path

from ltr.io.disk import disk_errors


def cache_folder(*parts: str) -> Path:
    """A folder below the user's cache (``$LTR_CACHE``, else ``$XDG_CACHE_HOME/ltr``, else ``~/.cache/ltr``), created.

    Raises:
        DataError: it is not there, and the cache cannot be written.
    """
    home = os.environ.get("LTR_CACHE")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ltr")
    folder = Path(home, *parts)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
