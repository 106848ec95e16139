"""Commands in a row, each step a folder that is complete or absent."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ltr.errors import DataError
from ltr.io.caching.keys import key_of_parts
from ltr.io.disk import disk_errors
from ltr.io.files import replacing
from ltr.io.locks import only_writer

#: says in a finished step's folder what made it
RECORD = "step.json"
#: what a step in the making holds that took its time: a training's state, runs that are begun and finished
WORK = ("last.ckpt", "*.partial", "*.trec")
#: stands in a command for the folder that the step writes
HERE = "{here}"


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: of its folder, such as ``1-retrieve``.
        commands: arguments of ltr, one command after the other; ``{here}`` stands for the step's folder.
        contents: digits of the models and files that the commands name: these may change under their names.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    contents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """Steps that stand on one another.

    Attributes:
        folder: where the steps' folders lie.
        steps: in their order.
        inputs: digits of what they start from, such as data sets: where these change, no step is taken for done.
    """

    folder: Path
    steps: tuple[Step, ...]
    inputs: tuple[str, ...] = ()

    def signature(self, step: Step) -> str:
        """16 hexadecimal digits of a step's commands and what they read, of all before it, and of the inputs."""
        until = self.steps[: self.steps.index(step) + 1]
        told = [self.inputs, [(one.commands, one.contents) for one in until]]
        return key_of_parts(json.dumps(told))

    def done(self, step: Step) -> bool:
        """Whether a step's folder is there.

        Raises:
            DataError: it is, and was made by other commands or from other data.
        """
        place = self.folder / step.name
        if not place.exists():
            return False
        try:
            record = json.loads((place / RECORD).read_text(encoding="utf-8"))
            known = record["signature"]
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"distil: {place} is no finished step of a pipeline; name another folder") from None
        if known != self.signature(step):
            raise DataError(
                f"distil: {place} was made by other commands or from other data (or models, or files) than the recipe now "
                f"says; remove it and the steps behind it to do them anew, or name another folder (it ran: {'; '.join(record.get('commands', []))})"
            )
        return True

    def shown(self) -> Iterator[tuple[Step, bool, list[str]]]:
        """Each step, whether it is done, and its commands as one would type them."""
        for step in self.steps:
            yield step, self.done(step), [_typed(c) for c in self._filled(step, self.folder / step.name)]

    def run(self, execute: Callable[[list[str]], int], say: Callable[[str], None]) -> int:
        """Do what is not done yet; returns the exit status of the first command that fails, else 0.

        Args:
            execute: runs one command of ltr from its arguments.
            say: prints a line.

        Raises:
            DataError: another process works in the folder, or what is there belongs to another recipe.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        busy = f"distil: another process works in {self.folder}; wait for it, or name another folder"
        for step in self.steps:  # before anything is computed
            self.done(step)
        with only_writer(self.folder, self.folder / ".lock", busy):
            for step in self.steps:
                self._clear_other(step)
            for step in self.steps:
                if self.done(step):
                    say(f"{step.name}: done already")
                    continue
                status = self._run(step, execute, say)
                if status:
                    say(f"{step.name}: stopped; what is finished is kept, and the same command goes on from here")
                    return status
        return 0

    def _run(self, step: Step, execute: Callable[[list[str]], int], say: Callable[[str], None]) -> int:
        place = self.folder / step.name
        part = self._part(step)
        with disk_errors(place):
            part.mkdir(exist_ok=True)
            with replacing(part / RECORD) as file:
                commands = [_typed(command) for command in self._filled(step, place)]
                json.dump({"signature": self.signature(step), "commands": commands}, file, indent=1)
        for command in self._filled(step, part):
            say(f"{step.name}: {_typed(command)}")
            status = execute(resumed(command))
            if status:
                return status
        os.replace(part, place)
        return 0

    def _clear_other(self, step: Step) -> None:
        """Remove what was begun with other commands.

        Raises:
            DataError: it holds what took its time.
        """
        part = self._part(step)
        if not part.exists():
            return
        try:
            record = json.loads((part / RECORD).read_text(encoding="utf-8"))
            known, ran = record["signature"], record.get("commands", [])
        except (OSError, ValueError, KeyError, TypeError):
            known, ran = None, []
        if known == self.signature(step):
            return
        work = sorted(path for pattern in WORK for path in part.rglob(pattern) if path.stat().st_size)
        if work:
            raise DataError(
                f"distil: {part} was begun by other commands or from other data (or models, or files) than the recipe now says, "
                f"and holds {work[0].relative_to(part)}; remove it to do this step anew, put the recipe back to go on, or name "
                f"another folder (it ran: {'; '.join(ran)})"
            )
        shutil.rmtree(part)

    def _part(self, step: Step) -> Path:
        """The folder of a step in the making."""
        return self.folder / f".{step.name}.part"

    def _filled(self, step: Step, here: Path) -> list[list[str]]:
        return [[word.replace(HERE, str(here)) for word in command] for command in step.commands]


def resumed(command: list[str]) -> list[str]:
    """The command that goes on with a training where one was begun; others go on by themselves."""
    folder = next((Path(w.partition("=")[2]) for w in command if w.startswith("--run.folder=")), None)
    if command[0] != "fit" or folder is None or not (folder / "last.ckpt").exists():
        return command
    return ["fit", "--resume", str(folder)]


def _typed(command: Sequence[str]) -> str:
    return "ltr " + shlex.join(command)
