"""Tiny files for feature scorers: the third number says what the grade, or the amount, is."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_fold(folder: Path, lists: int = 12) -> Path:
    """A fold of SVMlight files: lists of three documents with grades 0 to 2."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("train.txt", "vali.txt", "test.txt"):
        rows = [
            f"{grade} qid:{q} 1:{rng.normal():.3f} 2:{rng.normal():.3f} 3:{10 * grade + rng.random():.3f}\n"
            for q in range(lists)
            for grade in rng.permutation(3)
        ]
        (folder / name).write_text("".join(rows))
    return folder


def write_log(path: Path, lists: int = 12) -> Path:
    """A CSV of engagement: lists of three documents."""
    rng = np.random.default_rng(0)
    rows = ["list_id,item_id,words,length,seconds"]
    for q in range(lists):
        for d in range(3):
            length = rng.random()
            rows.append(f"q{q},d{d},{rng.integers(9)},{60 * length:.2f},{100 * length + rng.random():.2f}")
    path.write_text("\n".join(rows) + "\n")
    return path
