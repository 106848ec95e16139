"""Where an export may stand, and which files it holds beside the weights."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ltr.errors import ConfigError
from ltr.inference.reranker import Reranker
from ltr.io.disk import disk_errors, make_folder_of
from ltr.scorers.cpu.quantised import FILE
from ltr.scorers.text.saving import cutting, write_tokenizer


def describe(exact: Reranker, config: Any, folder: str | Path) -> None:
    """Write what an export holds beside the weights: configuration, tokenizer and settings."""
    config.save_pretrained(folder)
    write_tokenizer(cutting(exact.tokenizer, exact.settings.max_length), Path(folder))
    exact.settings.write(Path(folder))


#: the card that every export holds
CARD = "README.md"


def check_place(folder: str | Path, exact: Reranker | None = None, made: str = FILE) -> None:
    """See to it that an export can be written, and replaces nothing but an earlier export.

    Args:
        folder: the place.
        exact: what is exported, where it is open already: other files beside an earlier export are looked for then.
        made: the file by which an export is known.

    Raises:
        ConfigError: something else is there, such as the model itself, or stands beside an earlier export.
        DataError: the place cannot be written.
    """
    place = Path(os.path.realpath(folder))
    if place.exists() and not (place / made).is_file():
        raise ConfigError(f"export: {folder} is there and is no earlier export; give a new folder, or remove it")
    make_folder_of(place)
    with disk_errors(folder):
        os.rmdir(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part"))
    if exact is None or not place.exists():
        return
    with tempfile.TemporaryDirectory() as trial:
        model: Any = exact.scorer.model
        describe(exact, model.config, trial)
        others = sorted({*os.listdir(place)} - {Path(made).parts[0], CARD, *os.listdir(trial)})
    if others:
        raise ConfigError(
            f"export: {folder} holds {', '.join(others[:5])}, which is no part of an export and would be lost with the "
            "earlier one; move it, or give a new folder"
        )
