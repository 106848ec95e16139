"""YAML that remembers where everything stood, so that an error can name the line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from ltr.errors import ConfigError
from ltr.io.files import existing

Place = tuple[str, ...]

#: entries of a file that is written by hand or by a program for hands
MOST = 100_000


class Loader(yaml.SafeLoader):
    """YAML without objects, in which ``3e-4`` is a number: YAML 1.1 asks for a point and a sign, and else takes a text."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def plain(text: str) -> Any:
    """What YAML says, as plain Python.

    Raises:
        yaml.YAMLError: it is none.

    >>> plain("{lr: 3e-4, name: e4}")
    {'lr': 0.0003, 'name': 'e4'}
    """
    return yaml.load(text, Loader)


class Lines:
    """The content of a YAML file and the line of each of its entries.

    Attributes:
        path: the file.
        content: what it says, as plain Python.
    """

    def __init__(self, path: str | os.PathLike, what: str):
        self.path = existing(path, what)
        self._lines: dict[Place, int] = {(): 1}
        try:
            text = Path(self.path).read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=Loader)
            self.content: Any = plain(text)
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.path}: this is no YAML: it is not written in UTF-8 ({error})") from error
        except yaml.reader.ReaderError as error:  # a character that YAML forbids
            line = text[: error.position].count("\n") + 1
            raise ConfigError(f"{self.path}:{line}: this is no YAML: {error.reason} ({error.character!r})") from error
        except RecursionError:
            raise self._nested() from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            at = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "it cannot be read"
            raise ConfigError(f"{self.path}{at}: this is no YAML: {problem}") from error
        except (ValueError, OverflowError) as error:  # what looks like a date or a number and is none
            raise ConfigError(f"{self.path}: this is no YAML: {error!s:.200}; put quotes around texts") from error
        if node is not None:
            try:
                self._walk(node, ())
            except RecursionError:  # an entry that refers to itself
                raise self._nested() from None

    def _nested(self) -> ConfigError:
        return ConfigError(f"{self.path}: it nests too deeply to be a configuration, or refers to itself")

    def at(self, *place: Any) -> str:
        """``file:line`` of an entry, or of the nearest entry around it that the file has."""
        place = tuple(map(str, place))  # keys may be numbers; here they are as the file writes them
        while place not in self._lines:
            place = place[:-1]
        return f"{self.path}:{self._lines[place]}"

    def _walk(self, node: yaml.Node, place: Place) -> None:
        if len(self._lines) > MOST:  # a few lines of references to references stand for millions of entries
            raise ConfigError(f"{self.path}: it has more than {MOST:,} entries, counting what references (*) stand for")
        if isinstance(node, yaml.MappingNode):
            seen: dict[Any, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise ConfigError(
                        f"{self.path}:{line}: {key.value!r} stands here a second time (first in line {seen[key.value]}), "
                        "and only one of them would count; remove or rename one"
                    )
                seen[key.value] = line
                inside = (*place, key.value)
                self._lines[inside] = line
                self._walk(value, inside)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                inside = (*place, str(i))
                self._lines[inside] = value.start_mark.line + 1
                self._walk(value, inside)
