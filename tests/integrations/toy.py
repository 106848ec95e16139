"""Small feature data with something to learn: real files, read by the real data modules."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ltr.data import LetorData

SIZES = {"train.txt": 40, "vali.txt": 15, "test.txt": 10}


def written(folder: Path, grades: int = 4, seed: int = 0, real: bool = False) -> Path:
    """A fold of lists of 5 to 14 documents with six features, of which two tell about the label."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name, count in SIZES.items():
        rows = []
        for q in range(count):
            features = rng.normal(size=(5 + q % 10, 6)).round(3)
            worth = 2 * features[:, 0] - features[:, 3] ** 2 + 0.5 * rng.normal(size=len(features))
            labels = worth.round(3) if real else np.clip(np.round(worth + 1), 0, grades - 1).astype(int)
            for label, row in zip(labels, features, strict=True):
                cells = " ".join(f"{i}:{value}" for i, value in enumerate(row, 1))
                rows.append(f"{label} qid:{name[0]}{q} {cells}\n")
        (folder / name).write_text("".join(rows))
    return folder


def made(folder: Path, **settings) -> LetorData:
    """The data module of a fold, ready."""
    data = LetorData(fold=str(folder), **settings)
    data.prepare_data()
    data.setup()
    return data
