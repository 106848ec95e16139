"""No output may take the place of an input, however that is named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ltr.data.collections.shares import unsliced
from ltr.errors import ConfigError


def check_inputs(folder: Path, parts: Iterable[str], settings: Any) -> None:
    """Refuse a run folder of which a training would replace a part that it reads.

    Args:
        folder: the run folder.
        parts: names in it of what is written and removed.
        settings: values, nested at will; strings and paths in it that name something on the disk are inputs.

    Raises:
        ConfigError: naming the input and the part.
    """
    places = {os.path.realpath(folder / part): part for part in parts}
    for name in _named(settings):
        real = os.path.realpath(name)
        for place, part in places.items():
            if real == place or real.startswith(os.path.join(place, "")):
                raise ConfigError(
                    f"RunFolder: {name} is read by this training, which would replace it: it writes {folder / part}; choose "
                    "another --run.folder"
                )


def _named(value: Any) -> Iterator[str]:
    """Files and folders that exist, among all strings; ``NAME[:80%]`` and ``FOLDER/train`` name FOLDER, too."""
    if isinstance(value, (str, os.PathLike)):
        text = os.path.expanduser(os.fspath(value))
        whole = unsliced(text)
        for name in (text, whole, os.path.dirname(whole)):
            if isinstance(name, str) and name and "\0" not in name and "\n" not in name and os.path.exists(name):
                yield name
                return
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _named(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _named(one)
