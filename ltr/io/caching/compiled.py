"""Where numba keeps what it compiles: in the user's cache, wherever the package is installed."""

from __future__ import annotations

import os

from ltr.io.caching.cache_folder import cache_folder


def keep_compiled() -> None:
    """Let numba keep compiled code in the user's cache; to be called before functions are declared to it.

    ``$NUMBA_CACHE_DIR`` has the last word. Imports numba, so only what compiles calls this.
    """
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder("numba")))
    from numba.core import config

    config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]  # type: ignore[attr-defined]  # in case numba was imported before
