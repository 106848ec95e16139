"""The plain files of a run folder: manifest and metrics."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import ltr
from ltr.errors import ConfigError, DataError
from ltr.io.files import existing, replacing

MANIFEST = "manifest.json"
METRICS = "metrics.csv"
CHECKPOINT = "last.ckpt"
CONFIG = "config.yaml"
RESULTS = "results.txt"
LOCK = ".lock"
#: folders of the models that a training saves
MODELS = ("best", "last")
#: everything that a training writes; only these are removed when a folder is overwritten
PARTS = (MANIFEST, METRICS, CHECKPOINT, CONFIG, *MODELS, "dev", "test", "averaging", RESULTS)

PACKAGES = ("torch", "pytorch-lightning", "transformers", "tokenizers", "ir-datasets", "ranx", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Versions of Python, ltr and the packages that a result depends on."""
    versions = {"python": platform.python_version(), "ltr": ltr.__version__}
    return versions | {name: importlib.metadata.version(name) for name in PACKAGES}


def write_manifest(folder: Path, **values: Any) -> None:
    """Add ``values`` to the folder's manifest; a new one starts with versions, machine, command and time."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text()) if path.exists() else {}
    if not manifest:
        manifest = {
            "command": shlex.join(sys.argv),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "machine": f"{platform.system()} {platform.machine()}",
            "versions": versions(),
        }
    manifest.update(values)
    with replacing(path) as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder. Raises DataError where there is none."""
    path = existing(folder / MANIFEST, f"{folder} is no run folder of ltr")
    return json.loads(path.read_text())


def refuse_replacing(folder: Path) -> None:
    """Raise ConfigError where a folder holds a training that left anything to continue or to use."""
    left = any((folder / part).exists() for part in (CHECKPOINT, *MODELS))
    if (folder / MANIFEST).exists() and (left or read_manifest(folder).get("status") == "finished"):
        raise ConfigError(
            f"RunFolder: {folder} holds another training; continue it with --resume {folder}, choose another "
            "--run.folder, or replace it with --run.overwrite=true"
        )


def write_metrics(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the course of a training: one row per logged step, a column per value."""
    names = sorted({name for row in rows for name in row} - {"step", "epoch"})
    with replacing(folder / METRICS) as file:
        writer = csv.DictWriter(file, ["step", "epoch", *names], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_metrics(folder: Path, until_step: int) -> list[dict[str, Any]]:
    """The rows of ``metrics.csv`` up to a step; none where the file is not there yet."""
    path = folder / METRICS
    if not path.exists():
        return []
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                values: dict[str, Any] = {name: float(text) for name, text in row.items() if text}
                values |= {"step": int(row["step"]), "epoch": int(row["epoch"])}
            except (TypeError, ValueError) as error:
                raise DataError(f"{path}:{number}: a row of numbers was expected, got {row}") from error
            if values["step"] <= until_step:
                rows.append(values)
    return rows
