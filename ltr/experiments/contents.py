"""What a cell is made of beside its settings: the content of its data, of the model that its scorer starts from, and of
the modules that its user wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ltr.errors import LtrError
from ltr.experiments.spec.building import build
from ltr.experiments.spec.spec import Config
from ltr.expressions import is_expression, names_in, package_of
from ltr.io.caching.keys import key_of_parts
from ltr.io.importing.own_code import files_of, what_it_says

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


def code_in(names: Iterable[str]) -> str | None:
    """Digits of what the files say in which names of one package stand, and those of the package that these import; None where
    there is none. Comments and layout do not count."""
    files = files_of(names)
    return key_of_parts(*(f"{module} {what_it_says(path)}" for module, path in files.items())) if files else None


def _names(value: Any) -> Iterable[str]:
    """Dotted names of classes and functions that a specification calls."""
    if isinstance(value, Mapping):
        if isinstance(value.get("class_path"), str) and "." in value["class_path"]:
            yield value["class_path"]
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _names(one)
    if isinstance(value, str) and is_expression(value):
        yield from names_in(value)


class Known:
    """Contents of data and scorers, and code of one's own, each looked at once."""

    def __init__(self) -> None:
        self._found: dict[str, Contents | str] = {}
        self._code: dict[tuple[str, ...], str | None] = {}

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
        """The packages of one's own that specifications name: ``code of PACKAGE`` -> ``code_in`` what is named of it.

        Args:
            values: expressions, and mappings with ``class_path``.
        """
        found = {}
        names = sorted(set(_names(values)))
        for package in sorted({package_of(name) for name in names} - INSTALLED):
            own = tuple(name for name in names if package_of(name) == package)
            if own not in self._code:
                self._code[own] = code_in(own)
            if (digits := self._code[own]) is not None:
                found[f"{CODE}{package}"] = digits
        return found


def changed(held: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what differs; cells of older versions do not tell of code, nor of the folders in a model's folder."""
    names = [name for name in dict.fromkeys([*held, *now]) if held.get(name) != now.get(name)]
    return [name for name in names if name in held or not (name.startswith(CODE) or name.endswith(".modules"))]
