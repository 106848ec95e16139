"""``ltr.json`` of a scorer on features: which class it is, what it was trained on, what its scores mean."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ltr.errors import DataError
from ltr.io.files import existing, replacing
from ltr.settings.texts import FILE


@dataclass(frozen=True)
class FeatureSettings:
    """What a saved scorer on features must know about itself beyond its weights.

    Attributes:
        scorer: name of its class.
        arguments: what the class was made with.
        n_features: numbers that describe a document.
        log1p: whether it takes the logarithm of features first; shift and scale stand with the weights.
        feature_names: of the features, in order; empty where the data had none.
        target: how labels became what was learnt (``ltr.data.features.standardise.Target``); empty where they were taken as is.
        trained_on: names of the files.
    """

    scorer: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    n_features: int = 0
    log1p: bool = False
    feature_names: tuple[str, ...] = ()
    target: Mapping[str, Any] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: str | os.PathLike) -> FeatureSettings:
        """The settings beside a model.

        Raises:
            DataError: naming the file, when it is not there, or not that of a scorer on features.
        """
        path = existing(Path(folder) / FILE, f"{folder} is no saved model on features")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            values = {f.name: found[f.name] for f in fields(cls)}
            for name in ("feature_names", "trained_on"):
                values[name] = tuple(values[name])
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: not the settings of a scorer on features: {error!r}") from error
        return cls(**values)

    def write(self, folder: Path) -> None:
        """Write them beside the model, with the versions that made it."""
        import torch

        from ltr import __version__

        versions = {"ltr": __version__, "torch": str(torch.__version__)}
        with replacing(folder / FILE) as file:
            json.dump({**asdict(self), "versions": versions}, file, indent=2)
            file.write("\n")
