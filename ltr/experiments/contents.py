"""What a cell is made of beside its settings: the content of its data, of the model that its scorer starts from, and of
the modules that its user wrote."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ltr.errors import LtrError
from ltr.experiments.spec.building import build
from ltr.experiments.spec.spec import Config
from ltr.expressions import is_expression, packages_in
from ltr.io.caching.keys import key_of_parts
from ltr.io.importing.imports import with_current_folder

#: what it is -> digits of its content
Contents = dict[str, str]
#: stands before the name of a package of one's own
CODE = "code of "
#: packages whose versions tell what is in them
INSTALLED = {"ltr", "torch", "pytorch_lightning"}


def contents(data: Config, scorer: Config | None) -> Contents:
    """What a cell with these data and this scorer (or ranker) is made of.

    Raises:
        ConfigError, DataError: the data cannot be read here.
    """
    # brings Lightning: a worker that is starting can do without, and shall watch its parent soon
    from ltr.data.contents import contents_of, contents_of_paths

    contents = contents_of(build("data", data))
    tokenizer = (data.get("init_args") or {}).get("tokenizer")
    for name, settings in (("tokenizer", tokenizer), ("scorer", (scorer or {}).get("init_args"))):
        contents |= {f"{name}.{key}".rstrip("."): digits for key, digits in contents_of_paths(settings).items()}
    return contents


def code_in(name: str) -> str | None:
    """Digits of what the files of a package (or module) say, in which comments and layout do not count; None where there is
    none. Nothing is imported."""
    with_current_folder()
    spec = importlib.util.find_spec(name) if name != "__main__" else None
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        return None
    folders = map(Path, spec.submodule_search_locations or ())
    files = sorted(path for folder in folders for path in folder.rglob("*.py")) or [Path(str(spec.origin))]
    return key_of_parts(*(f"{path.name} {_says(path)}" for path in files if path.is_file()))


def _packages(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("class_path"), str) and "." in value["class_path"]:
            yield value["class_path"].partition(".")[0]
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _packages(one)
    if isinstance(value, str) and is_expression(value):
        yield from packages_in(value)


def _says(path: Path) -> str:
    source = path.read_text(encoding="utf-8", errors="surrogateescape")
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source


class Known:
    """Contents of data and scorers, and code of one's own, each looked at once."""

    def __init__(self) -> None:
        self._found: dict[str, Contents | str] = {}
        self._code: dict[str, str | None] = {}

    def __call__(self, data: Config, scorer: Config | None) -> Contents | str:
        """The contents, or a sentence on why they cannot be read here."""
        key = json.dumps([data, scorer], sort_keys=True, default=str)
        if key not in self._found:
            try:
                self._found[key] = contents(data, scorer)
            except (LtrError, OSError) as error:
                self._found[key] = str(error)
        return self._found[key]

    def code(self, *values: Any) -> Contents:
        """The packages of one's own that specifications name: ``code of NAME`` -> ``code_in`` it.

        Args:
            values: expressions, and mappings with ``class_path``.
        """
        found = {}
        for name in sorted(set(_packages(values)) - INSTALLED):
            if name not in self._code:
                self._code[name] = code_in(name)
            if (digits := self._code[name]) is not None:
                found[f"{CODE}{name}"] = digits
        return found


def changed(held: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what differs; cells of older versions do not tell of code, nor of the folders in a model's folder."""
    names = [name for name in dict.fromkeys([*held, *now]) if held.get(name) != now.get(name)]
    return [name for name in names if name in held or not (name.startswith(CODE) or name.endswith(".modules"))]
