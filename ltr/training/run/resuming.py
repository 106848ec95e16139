"""What is checked before an interrupted training goes on: that there is one, and that its settings can take effect."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml

from ltr.errors import ConfigError, DataError
from ltr.io.files import existing
from ltr.training.run.records import CHECKPOINT, CONFIG, MANIFEST, read_manifest

log = logging.getLogger(__name__)

#: settings that a resumed training cannot change: the checkpoint has taken their place
FIXED = {
    "seed_everything": "random numbers go on where they stopped",
    "model.scorer.class_path": "the checkpoint holds the weights of the other scorer",
    "model.scorer.init_args.model": "the checkpoint's weights take the place of any model's",
    "run.monitor": "the best value so far is one of the other measure",
}


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
                "(told, and counted by batches; not dev, nor its labels), model.lr, model.head_lr, model.weight_decay, model.warmup, "
                "model.schedule, model.measures, model.focus, model.loss, settings of model.scorer that leave its weights "
                "as they are, and run.* except run.monitor; else start a new training from best/ with "
                f"--model.scorer.model={folder}/best"
            )


def _looked_up(values: Any, names: list[str]) -> Any:
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values.removeprefix("dev/") if isinstance(values, str) else values
