"""Saving a model as the folder that transformers and sentence-transformers open."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ltr.io.files import disk_errors, make_folder_of, to_disk, umask
from ltr.scorers import views
from ltr.scorers.text.loading import quiet
from ltr.settings.texts import ModelSettings


def save(model: Any, tokenizer: Any, settings: ModelSettings, folder: Path) -> None:
    """Write weights (safetensors), configuration, tokenizer and ``ltr.json``, then put the folder in its place."""
    with building(folder) as beside:
        # sentence-transformers would put a sigmoid on a single logit
        written_model: Any = views.beside(model)
        written_model.config = copy.deepcopy(model.config)
        written_model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
        with quiet():
            written_model.save_pretrained(beside)
        # those who know nothing of ltr.json cut texts at the same length
        written = copy.deepcopy(tokenizer)
        written.model_max_length = settings.max_length
        written.save_pretrained(beside)
        settings.write(beside)


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder`` that takes its place when the block ends well.

    Raises:
        DataError: when the disk is full or the place cannot be written; the old folder is untouched.
    """
    folder = Path(os.path.realpath(folder))  # where a link points, the folder is replaced and the link stays
    make_folder_of(folder)
    with disk_errors(folder):
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        try:
            yield beside
            _open_to_others(beside)
            to_disk(beside)
            _swap(beside, folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise


def _swap(new: Path, folder: Path) -> None:
    """Put ``new`` in the place of ``folder``; what was there goes away only after that."""
    if not folder.exists():
        os.replace(new, folder)
        return
    old = new.with_suffix(".old")
    os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old)


def _open_to_others(folder: Path) -> None:
    """Give the rights of ordinary files; mkdtemp and safetensors write for the user alone."""
    mask = umask()
    os.chmod(folder, 0o777 & ~mask)
    for file in folder.iterdir():
        os.chmod(file, 0o666 & ~mask)
