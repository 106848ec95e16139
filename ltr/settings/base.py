"""What a scorer must know beyond its weights: told to it before training, and kept beside a saved model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ltr.batch import Lists
from ltr.errors import DataError
from ltr.io.files import existing, replacing

FILE = "ltr.json"
#: metadata of a field that is not written, since the weights hold it
UNWRITTEN = {"written": False}

Own = TypeVar("Own", bound="Settings")


@dataclass(frozen=True)
class Settings:
    """How a scorer's inputs are made, and which scorer it is.

    Data give it to scorers before training (``Scorer.fit_to``); a scorer is saved with it, as ``ltr.json``.

    Attributes:
        trained_on: names of the collections or files.
        scorer: the class: the name of one of ltr's own, or the path of another (``mypkg.scorers.Mine``); empty for a
            cross-encoder.
        arguments: what the class was made with.
    """

    trained_on: tuple[str, ...] = field(default=(), kw_only=True)
    scorer: str = field(default="", kw_only=True)
    arguments: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    #: the kind of batches that are made so
    batch: ClassVar[type[Lists]] = Lists
    #: what must stand in the file
    needed: ClassVar[tuple[str, ...]] = ()
    #: packages whose versions are written
    packages: ClassVar[tuple[str, ...]] = ("torch",)

    def __post_init__(self) -> None:
        if isinstance(self.trained_on, str):
            raise TypeError(f"trained_on must be a list of names, got {self.trained_on!r}")
        object.__setattr__(self, "trained_on", tuple(self.trained_on))

    @classmethod
    def read(cls: type[Own], folder: str | os.PathLike) -> Own:
        """The settings beside a model.

        Raises:
            DataError: naming the file, when it is not there or cannot be understood.
        """
        return cls.parse(existing(Path(folder) / FILE, f"{folder} is no model that ltr saved"))

    @classmethod
    def parse(cls: type[Own], path: Path) -> Own:
        """The settings in a file. Raises DataError naming it."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise TypeError(f"a mapping is needed, got {content!r}")
            if missing := [name for name in cls.needed if name not in content]:
                raise TypeError(f"it has no {missing[0]}")
            if not isinstance(name := content.get("scorer") or "", str):
                raise TypeError(f"scorer is the name of a class, got {name!r}")
            return cls(**{f.name: content[f.name] for f in fields(cls) if f.init and f.name in content})
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: not the settings of a model saved by ltr: {error}") from error

    def write(self, folder: str | os.PathLike) -> None:
        """Write them beside the model, with the versions that made it."""
        import importlib.metadata

        from ltr import __version__

        versions = {"ltr": __version__, **{name: importlib.metadata.version(name) for name in self.packages}}
        named = [f.name for f in fields(self) if f.metadata.get("written", True)]
        values = {name: getattr(self, name) for name in named}
        if not self.scorer:  # tools that read a cross-encoder's file see what they know
            del values["scorer"], values["arguments"]
        with replacing(Path(folder) / FILE) as file:
            json.dump({**values, "versions": versions}, file, indent=2)
            file.write("\n")
