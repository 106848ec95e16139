"""What the parts of a data set hold, as digests: by them one sees that a file was changed under the same name."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ltr.data.base import RankingData
from ltr.data.collections.shares import sliced
from ltr.data.features.feature_data import FeatureData
from ltr.data.text.parts import source_signature
from ltr.data.text.text_data import TextData
from ltr.io.caching.digests import digest
from ltr.io.caching.keys import key_of_parts
from ltr.io.files import existing_file
from ltr.io.model_names import located

#: stands behind the place of a model's folder for the folders of its modules
MODULES = "modules"


def contents_of(data: RankingData, parts: Collection[str] = ("train", "dev", "test")) -> dict[str, str]:
    """What a data module's parts are made of: part or source -> digits that change with its content.

    Collections and files count by their content, which is read at most once (see ``ltr.io.caching.digests``); data sets of
    ir-datasets by id and release. A module of another class counts by its ``signature``, where it has one.

    Args:
        data: a data module; nothing of it needs to be prepared.
        parts: those that are looked at.

    Raises:
        DataError: a collection or file cannot be read.
    """
    named = [part for part in data.named if part in parts]
    if isinstance(data, TextData):
        contents: dict[str, str] = {}
        for part in named:
            collection = data.collection(part)
            contents[part] = collection.signature
            for name in (f"{part}_candidates", "teacher" if part == "train" else f"{part}_teacher"):
                source = getattr(data, name)
                kept = source_signature(collection, source)
                if kept != source:  # a run file; other sources follow from the collection
                    contents[name] = str(kept)
        return contents | _judged(data, parts)
    if isinstance(data, FeatureData):
        return {part: _of_table(getattr(data, part)) for part in named} | _judged(data, parts)
    return {"data": data.signature}


def _judged(data: TextData | FeatureData, parts: Collection[str]) -> dict[str, str]:
    judged = data.test_judgements if "test" in parts else None
    return {} if judged is None else {"test_judgements": digest(existing_file(judged, "judgements"))}


def contents_of_paths(settings: Any) -> dict[str, str]:
    """The files and folders that settings name, such as a scorer's backbone: place of the setting -> digits of its content.

    Of a folder the files in it count, and, as ``PLACE.modules``, those of the folders that its ``modules.json`` names, in
    which sentence-transformers keeps what stands behind an encoder. Hub ids and other texts are no paths, and left out.

    Args:
        settings: init arguments, nested or not; ``${NAME}`` stands for the environment's value.
    """
    return dict(_paths(settings, ()))


def _paths(value: Any, place: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(one, (*place, str(key)))
    if isinstance(value, str) and value:
        path = Path(located(os.path.expandvars(value))).expanduser()
        if path.is_file():
            yield ".".join(place), digest(path)
        elif path.is_dir():
            yield ".".join(place), _of_files(path, [path])
            if folders := _modules_in(path):
                yield ".".join((*place, MODULES)), _of_files(path, folders)


def _of_files(root: Path, folders: Iterable[Path]) -> str:
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    # a path that modules.json gives may lead anywhere
    return key_of_parts(*(f"{Path(os.path.relpath(path, root)).as_posix()} {digest(path)}" for path in files))


def _modules_in(folder: Path) -> list[Path]:
    """The folders of modules in a model's folder."""
    try:
        named = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        folders = [folder / one["path"] for one in named if one["path"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # whoever opens the model says what is wrong with it
    return [path for path in folders if path.is_dir()]


def _of_table(name: str) -> str:
    """A file of features, with the names of its columns where they stand beside it."""
    share = sliced(name)
    path = existing_file(share[0] if share else name, "features")
    beside = path.parent / "features.txt"
    return key_of_parts(digest(path), *([digest(beside)] if beside.is_file() else []))
