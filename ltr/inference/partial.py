"""A file in the making, which survives an interruption and is gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ltr.errors import DataError
from ltr.io.disk import disk_errors
from ltr.io.files import clear_parts, replacing, take_place
from ltr.io.locks import only_writer
from ltr.io.trec import compressed


def claimed(output: str | os.PathLike, who: str) -> contextlib.AbstractContextManager[None]:
    """Hold what becomes ``output``. Raises DataError where another process does, or where it cannot be written."""
    place = _behind_link(output)
    busy = f"{who}: another process is writing {output}; wait for it, or choose another --output"
    return only_writer(place, f"{place}.partial.lock", busy)


def _behind_link(output: str | os.PathLike) -> Path:
    """What a link points to is written, and the link stays."""
    return Path(os.path.realpath(output)) if os.path.islink(output) else Path(output)


class Partial:
    """Lines of a file: ``NAME.partial`` beside the output, with ``NAME.partial.json`` that says what makes it.

    Args:
        output: the file to write; it is replaced at the very end, and compressed where its name ends in .gz.
        signature: everything that the result depends on. A partial file begun with another one is refused.
        who: the command that writes it, for messages.

    Raises:
        DataError: a partial file is there that was begun with other inputs or options; the place cannot be written.
    """

    def __init__(self, output: str | os.PathLike, signature: Mapping[str, str], who: str):
        self.output = _behind_link(output)
        self.path = self.output.with_name(f"{self.output.name}.partial")
        self.manifest = self.output.with_name(f"{self.output.name}.partial.json")
        self.signature, self.who = dict(signature), who
        #: what the manifest held of it when it was gone on with
        self.held: dict[str, Any] = {}
        if self.output.is_dir():  # which would show at the very end
            raise DataError(f"{who}: {self.output} is a folder; give a file")
        for place in (self.output, self.manifest):
            clear_parts(place)
        if self.path.exists():
            self._check_signature()
            return
        self.note()
        with disk_errors(self.output):
            self.path.touch()

    def note(self, **facts: Any) -> None:
        """Keep facts beside the signature, for who goes on."""
        with replacing(self.manifest) as file:
            json.dump(self.signature | facts, file, indent=2)

    def write(self, lines: Iterable[str]) -> None:
        """Add lines, and see to it that they reach the disk."""
        with disk_errors(self.output), open(self.path, "a", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Put the file in its place."""
        if self.output.suffix == ".gz":
            with open(self.path, "rb") as plain, compressed(self.output) as packed:
                shutil.copyfileobj(plain, packed)
            self.path.unlink()
        else:
            with disk_errors(self.output):
                take_place(self.path, self.output)
        self.manifest.unlink(missing_ok=True)

    def drop(self) -> None:
        """Leave nothing behind."""
        self.path.unlink(missing_ok=True)
        self.manifest.unlink(missing_ok=True)

    def _check_signature(self) -> None:
        try:
            self.held = json.loads(self.manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.held = {}
        other = [key for key, value in self.signature.items() if self.held.get(key) != value]
        if other:
            raise DataError(
                f"{self.who}: {self.path} was begun with another {' and another '.join(other)}; give the same inputs to go on "
                "with it, delete it, or choose another --output"
            )
