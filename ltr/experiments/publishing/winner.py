"""The training that dev liked best, as a command that trains it again and keeps its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ltr.experiments.spec.building import filled
from ltr.experiments.spec.plan import Group, larger
from ltr.experiments.spec.spec import MODEL, Spec, folder_name
from ltr.io.files import replacing


def winner(spec: Spec, groups: Sequence[Group]) -> Group | None:
    """Of the groups of a data set the one with the best mean of its seeds' dev values; None where no loss has finished."""

    def value(group: Group) -> float:
        return float(np.mean([cell.value for cell in group.seeds.values() if cell.finished]))

    finished = [g for g in groups if not g.outside and any(cell.finished for cell in g.seeds.values())]
    if not finished:
        return None
    return max(finished, key=value) if larger(spec) else min(finished, key=value)


def write_commands(spec: Spec, groups: Sequence[Group]) -> list[list[str]]:
    """Words of the command of each data set's winner; what it needs besides stands in ``fit-DATA.yaml`` in the folder.

    A benchmark's cells leave figures behind, no models. Cells with another loss that is tuned need but its expression
    and its settings in place of those of the command.
    """
    commands = []
    for name in spec.data:
        best = winner(spec, [group for group in groups if group.data_name == name])
        if best is None or best.chosen is None:
            continue
        path = Path(spec.folder) / f"fit-{folder_name(name)}.yaml"
        task = best.final()
        with replacing(path) as file:
            yaml.safe_dump(_configuration(best), file, sort_keys=False, allow_unicode=True, width=120)
        # as the cells took them: 10x is a rate by now
        tuned = [f"--model.{key}={task.model[key]!r}" for key in task.params if key in MODEL]
        folder = f"--run.folder=runs/{folder_name(spec.name)}-{folder_name(name)}"
        commands.append(["ltr", "fit", "--config", str(path), f"--model.loss={task.loss}", *tuned, folder])
    return commands


def _configuration(group: Group) -> dict[str, Any]:
    """What ``ltr fit`` is to be told beside the loss and what was tuned."""
    task = group.final()
    model = {key: value for key, value in task.model.items() if key not in task.params}
    return {
        "seed_everything": task.seed,
        "model": {"scorer": filled(task.scorer), **model, "measures": task.measures},
        "data": filled(task.data),
        "trainer": task.trainer,
        "run": {"monitor": task.monitor, "patience": task.patience},
        **({"allow_overlap": True} if group.spec.allow_overlap else {}),
    }
