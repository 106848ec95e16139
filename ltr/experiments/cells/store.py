"""The folder of a benchmark: one folder per cell, complete or absent, and the test part of each data set."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.experiments.cells.cell import Outcome, Task, as_values
from ltr.experiments.cells.truth import Truth
from ltr.experiments.contents import Contents, changed
from ltr.experiments.spec.spec import folder_name
from ltr.io.caching.keys import key_of
from ltr.io.files import building, clear_leftovers, replacing
from ltr.training.run.records import versions

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Done:
    """A cell as it lies in its folder.

    Attributes:
        folder: of the cell.
        record: its manifest.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def finished(self) -> bool:
        return self.record["status"] == "finished"

    @property
    def contents(self) -> Contents | None:
        """What its data and its scorer's model held; None where that is not known."""
        return self.record.get("contents")

    def differs(self, contents: Contents | None) -> list[str]:
        """Names of what holds something else now; nothing where either is not known."""
        return [] if self.contents is None or contents is None else changed(self.contents, contents)

    @property
    def value(self) -> float | None:
        """Best dev value; None where the cell failed."""
        return self.record["value"] if self.finished else None

    @property
    def course(self) -> list[dict[str, float]]:
        """Dev values as training went on."""
        path = self.folder / "course.json"
        return json.loads(path.read_text()) if path.exists() else []

    @property
    def scores(self) -> np.ndarray:
        """[documents] scores of the test part. Raises DataError where the file is gone or damaged."""
        path = self.folder / "scores.npy"
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: no scores of a cell: {error}; remove {self.folder} to run it again") from error


class Store:
    """Cells and test parts below one folder.

    A cell's folder appears by one rename, with everything in it: a benchmark that is killed leaves no half cell.

    Args:
        folder: of the benchmark.
        trust_data: take cells of which nobody knows what their data held as made of today's.
    """

    def __init__(self, folder: str | Path, trust_data: bool = False):
        self.folder, self.trust_data = Path(folder), trust_data

    def path(self, task: Task) -> Path:
        names = dict.fromkeys([task.data_name, task.scorer_name, task.loss_name])
        return self.folder.joinpath("cells", *map(folder_name, names), task.run)

    def held(self, task: Task) -> Done | None:
        """What lies in a cell's folder, whatever its settings and data were.

        Raises:
            DataError: its manifest cannot be read.
        """
        path = self.path(task) / MANIFEST
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            record["status"], record["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: not the manifest of a cell: {error!r}; remove {path.parent} to run it again"
            ) from error
        return Done(path.parent, record)

    def find(self, task: Task, stale: bool = False) -> Done | None:
        """The cell, if it was run.

        Args:
            task: the cell.
            stale: take one whose data held something else, or nobody knows what.

        Raises:
            ConfigError: the folder holds a finished cell with other settings.
            DataError: its manifest cannot be read.
        """
        done = self.held(task)
        if done is None:
            return None
        if done.finished and not stale and self.is_stale(done, task):
            return None
        if done.record["settings"] != signature(task):
            if not done.finished:
                return None
            difference = _difference(done.record["task"], as_values(task))
            raise ConfigError(
                f"{done.folder} holds a finished cell with other settings ({difference}); "
                "choose another folder (--folder NAME), or remove that one"
            )
        return done

    def is_stale(self, done: Done, task: Task) -> bool:
        """Whether a cell cannot stand beside those of today's data; where these cannot be read, none is."""
        if task.contents is None:
            return False
        return not self.trust_data if done.contents is None else bool(done.differs(task.contents))

    def adopt(self, done: Done, contents: Contents) -> None:
        """Take a cell of which nobody knows what its data held as made of today's."""
        done.record["contents"] = contents
        with replacing(done.folder / MANIFEST) as file:
            file.write(json.dumps(done.record, indent=1) + "\n")

    def keep(self, task: Task, outcome: Outcome, plain: bool = True, first: bool = False) -> Done:
        """Write a cell's folder, and the test part where this cell is the first to tell it.

        Args:
            task: the cell.
            outcome: what it gave.
            plain: whether its data are those of the spec, not changed by its loss: labels are measured in their unit.
            first: whether no other cell of these data is there, so that a test part which is kept belongs to data that have
                changed.

        Raises:
            DataError: the cell's test part is another one than that of the cells before.
        """
        if outcome.truth is not None:
            if first:
                self._forget_truth(task.data_name)
            self._keep_truth(task, outcome.truth, plain)
        path = self.path(task)
        record = {
            "contents": task.contents,
            **outcome.record,
            "params": task.params,
            "settings": signature(task),
            "task": as_values(task),
        }
        record["versions"] = versions()
        clear_leftovers(path.parent, [task.run])
        with building(path) as beside:  # in place of a failed cell that is run again
            for name, content in outcome.files.items():
                (beside / name).write_bytes(content)
            (beside / MANIFEST).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return Done(path, record)

    def truth(self, data_name: str, plain: bool = False) -> Truth | None:
        """The test part of a data set, once a cell has told it: with the labels of the spec's own data, if one has those.

        Args:
            data_name: in the spec.
            plain: take no other labels than those.
        """
        path = self._truth(data_name)
        if not plain and not path.exists():
            path = next(iter(sorted(self._truth_of_loss(data_name, "").parent.glob("*.npz"))), path)
        return Truth.load(path.read_bytes(), str(path)) if path.exists() else None

    def _truth(self, data_name: str) -> Path:
        return self.folder / "truth" / f"{folder_name(data_name)}.npz"

    def _truth_of_loss(self, data_name: str, loss_name: str) -> Path:
        return self.folder / "truth" / "losses" / folder_name(data_name) / f"{folder_name(loss_name)}.npz"

    def _forget_truth(self, data_name: str) -> None:
        self._truth(data_name).unlink(missing_ok=True)
        shutil.rmtree(self._truth_of_loss(data_name, "").parent, ignore_errors=True)

    def _keep_truth(self, task: Task, truth: Truth, plain: bool) -> None:
        held = self.truth(task.data_name)
        if held is None or held.same_as(truth):
            path = self._truth(task.data_name) if plain else self._truth_of_loss(task.data_name, task.loss_name)
            if not path.exists():
                with replacing(path, "wb") as file:
                    file.write(truth.dump())
        else:
            raise DataError(
                f"{task.title}: its test part ({truth.signature}) is not that of the cells before ({held.signature}); was "
                "the data set changed, or does its choice of queries depend on the seed? Take a share of the queries by "
                "name (NAME[:20%]) instead"
            )


def signature(task: Task) -> str:
    """16 hexadecimal digits that change with anything that a cell's figures depend on."""
    return key_of(json.dumps(as_values(task), sort_keys=True, default=str))


def _difference(held: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first setting that differs, in words."""
    for key, value in json.loads(json.dumps(wanted)).items():
        if held.get(key) != value:
            if isinstance(value, dict) and isinstance(held.get(key), dict):
                return f"{key}: {_difference(held[key], value)}"
            return f"{key} was {held.get(key)!r}, is {value!r}"
    gone = sorted(set(held) - set(wanted))
    return f"{gone[0]} is no longer set" if gone else "the same"
