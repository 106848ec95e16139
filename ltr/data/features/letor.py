"""LetorData: SVMlight files of graded documents, as MSLR-WEB, Yahoo, Istella and LETOR 4 are given out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from ltr.data.features.feature_data import FeatureData
from ltr.data.features.svmlight import read_svmlight
from ltr.data.features.table import FeatureTable
from ltr.errors import ConfigError, DataError

#: part -> file of a fold, as MSLR-WEB, Istella and LETOR 4 name them
FOLD = {"train": "train.txt", "dev": "vali.txt", "test": "test.txt"}


class LetorData(FeatureData):
    """Documents with features and grades, to train, validate and test feature scorers on.

    Each part is an SVMlight file (``2 qid:17 1:0.5 2:3 # comment``; .gz too), or a share of a file's lists such as
    ``train.txt[:80%]`` and ``train.txt[80%:]``, which have no list in common. A file is parsed once and then comes from
    the user's cache. How features are normalised is decided here and fitted on train alone; the scorer holds the
    statistics and applies them, so that a saved model takes raw features, and ``whole(part)`` is raw too.

    Args:
        train: file to train on.
        dev: file to validate on.
        test: file to test on when training is over.
        fold: a folder with ``train.txt``, ``vali.txt`` and ``test.txt`` (or .gz of these), as MSLR-WEB's ``Fold1``; parts
            that are named themselves win.
        labels: ``grades`` (whole numbers from 0, which are judgements too), or ``real``: any number, taken as it is.
        log1p: scorers take the logarithm first, sign(x) log(1 + abs(x)): for features with long tails.
        standardise: scorers bring each feature to mean 0 and standard deviation 1 (of train).
        n_features: how many there are; an index beyond is refused. Null takes the largest index in the parts.
        lists_per_batch: training lists in an optimiser step's batch, over all processes.
        docs_per_list: most documents of a training list, drawn anew each epoch; null takes all.
        eval_docs_per_batch: most documents in a validation batch, unless one list alone has more.
        seed: decides order and draws.
        workers: loader processes; 0 loads in the training process, which is fast enough.

    Raises:
        ConfigError: no part, or a setting outside its range.
        DataError: a fold without ``train.txt``, and what is wrong with a file, by file and line.
    """

    def __init__(
        self,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        fold: str | None = None,
        labels: Literal["grades", "real"] = "grades",
        log1p: bool = True,
        standardise: bool = True,
        n_features: int | None = None,
        lists_per_batch: int = 16,
        docs_per_list: int | None = None,
        eval_docs_per_batch: int = 32_768,
        seed: int = 0,
        workers: int = 0,
    ):
        if labels not in ("grades", "real"):
            raise ConfigError(f"LetorData: labels are grades or real, got {labels!r}")
        parts = {"train": train, "dev": dev, "test": test}
        if fold is not None:
            parts = {part: name or _in_fold(Path(fold), part) for part, name in parts.items()}
        super().__init__(
            parts, log1p, standardise, lists_per_batch, docs_per_list, eval_docs_per_batch, n_features, seed, workers
        )
        self.fold, self.labels = fold, labels

    def read(self, path: str) -> FeatureTable:
        """An SVMlight file, its labels checked."""
        table = read_svmlight(path, self._declared)
        if self.has_grades:
            wrong = (table.labels < 0) | (table.labels != np.floor(table.labels))
            if wrong.any():
                at = int(np.argmax(wrong))
                raise DataError(
                    f"{path}:{table.lines[at]}: grades are whole numbers from 0, got {table.labels[at]:g}; for labels in "
                    "other units set data.labels to real, or take ltr.data.EngagementData"
                )
        return table

    @property
    def has_grades(self) -> bool:
        return self.labels == "grades"

    @property
    def unit(self) -> str:
        return "grades" if self.has_grades else ""

    @property
    def reading(self) -> dict[str, Any]:
        return {"labels": self.labels}

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "labels": self.labels}


def _in_fold(folder: Path, part: str) -> str | None:
    """The file of a part, or None where the fold lacks it (test sets are often held back)."""
    for name in (FOLD[part], f"{FOLD[part]}.gz"):
        if (folder / name).is_file():
            return str(folder / name)
    if part != "train":
        return None
    raise DataError(
        f"LetorData: the fold {folder} holds no {FOLD['train']} (nor .gz of it); a fold is a folder with "
        f"{', '.join(FOLD.values())}"
    )
