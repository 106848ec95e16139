"""The plain files of a run folder: manifest and metrics."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import logging
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import yaml

import ltr
from ltr.errors import ConfigError, DataError
from ltr.io.files import existing, replacing

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
METRICS = "metrics.csv"
CHECKPOINT = "last.ckpt"
CONFIG = "config.yaml"
RESULTS = "results.txt"
LOCK = ".lock"
#: everything that a training writes; only these are removed when a folder is overwritten
PARTS = (MANIFEST, METRICS, CHECKPOINT, CONFIG, "best", "last", "dev", "test", "averaging", RESULTS)

#: settings that a resumed training cannot change: the checkpoint has taken their place
FIXED = {
    "seed_everything": "random numbers go on where they stopped",
    "model.scorer.class_path": "the checkpoint holds the weights of the other scorer",
    "model.scorer.init_args.model": "the checkpoint's weights take the place of any model's",
    "run.monitor": "the best value so far is one of the other measure",
}

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


def check_resumable(folder: Path) -> None:
    """Refuse to resume a folder that holds no training; one that was ended before it saved anything starts again.

    Raises:
        DataError: nothing says what to start, or the training went on and its checkpoint is gone.
    """
    if not (folder / CONFIG).exists():
        command = read_manifest(folder).get("command", "ltr fit ...") if (folder / MANIFEST).exists() else None
        how = f"it ended before step 1; start it again: {command}" if command else "it is no run folder of ltr fit"
        raise DataError(f"cannot resume {folder}: it holds no {CONFIG}; {how}")
    if (folder / CHECKPOINT).exists():
        return
    validations = len(list((folder / "dev").glob("step=*.trec")))
    if read_manifest(folder).get("status") == "finished" or (folder / "last").exists() or validations > 1:
        raise DataError(
            f"cannot resume {folder}: its {CHECKPOINT} is gone; put it back, or train on from {folder}/best"
        )
    log.info("%s ended before it saved anything; it starts again", folder)


def check_changes(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse settings of a resumed training that cannot take effect any more.

    Args:
        folder: of the run.
        settings: the whole configuration with which it is resumed.

    Raises:
        ConfigError: naming what was changed, and what may be.
    """
    began = yaml.safe_load(existing(folder / CONFIG, f"{folder} cannot be resumed").read_text(encoding="utf-8"))
    for name, why in FIXED.items():
        old, new = (_looked_up(values, name.split(".")) for values in (began, settings))
        if old is not None and old != new:
            shown = name.replace(".init_args", "")
            raise ConfigError(
                f"cannot resume {folder} with --{shown}={new} instead of {old}: {why}. What may change: trainer.*, data.* "
                "(told, and counted by batches), model.lr, model.head_lr, model.weight_decay, model.warmup, "
                "model.schedule, model.measures, model.focus, model.loss, settings of model.scorer that leave its weights "
                "as they are, and run.* except run.monitor; else start a new training from best/ with "
                f"--model.scorer.model={folder}/best"
            )


def _looked_up(values: Any, names: list[str]) -> Any:
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values.removeprefix("dev/") if isinstance(values, str) else values


def refuse_replacing(folder: Path) -> None:
    """Raise ConfigError where a folder holds a training that left anything to continue or to use."""
    left = any((folder / part).exists() for part in (CHECKPOINT, "best", "last"))
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
