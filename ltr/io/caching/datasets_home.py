"""Where ir-datasets keeps what it downloads: it makes that folder when it is imported, whatever it is asked for then."""

from __future__ import annotations

import os
from pathlib import Path

from ltr.errors import DataError
from ltr.io.caching.cache_folder import cache_folder


def find_datasets_home() -> None:
    """Let ir-datasets keep its files in ltr's cache where the user's home cannot be written, as in many containers.

    ``$IR_DATASETS_HOME`` has the last word. To be called before ir-datasets is imported.

    Raises:
        DataError: the user has no home at all, or the cache cannot be written either.
    """
    try:
        usual = Path.home() / ".ir_datasets"  # asked for by ir-datasets too, whatever else is set
    except RuntimeError as error:
        raise DataError(
            f"there is no home folder ({error}), without which ir-datasets does not start: set HOME"
        ) from error
    if "IR_DATASETS_HOME" in os.environ:
        return
    try:
        usual.mkdir(parents=True, exist_ok=True)
    except OSError:
        os.environ["IR_DATASETS_HOME"] = str(cache_folder("ir_datasets"))
