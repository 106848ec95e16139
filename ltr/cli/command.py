"""A command is a typed function: its signature gives the options, its docstring their help."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import re
import shlex
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO, Union, get_args, get_origin

from ltr.errors import ConfigError
from ltr.io.files import clear_parts
from ltr.io.names import suggestion
from ltr.io.streams import is_stdout, is_stream
from ltr.machine.loudness import loudness


def run(function: Callable, argv: Sequence[str], prog: str, short: dict[str, str] | None = None) -> Any:
    """Parse ``argv`` after the signature of ``function`` and call it.

    A positional-only parameter becomes a positional argument, any other ``--its-name`` (underscores as hyphens are
    both taken). ``bool`` becomes a pair of flags, ``list[T]`` takes one or more values at once, ``Literal`` a choice;
    ``T | None`` is optional. Help comes from the docstring: its text before ``Args:``, and each entry below it.

    Args:
        function: the command.
        argv: arguments without program and command name.
        prog: shown in usage, such as ``"ltr evaluate"``.
        short: one-letter options, such as ``{"measures": "-m"}``.
    """
    parser = parser_of(function, prog, short)
    known, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(_unknown(unknown, function))
    values = vars(known)
    parameters = inspect.signature(function).parameters.values()
    alone = [values.pop(p.name) for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    return function(*alone, **values)


def _unknown(arguments: Sequence[str], function: Callable) -> str:
    """What is wrong with arguments that a command does not take, with the nearest option."""
    option = next((a.partition("=")[0] for a in arguments if a.startswith("-")), None)
    if option is None:
        return f"unrecognized arguments: {' '.join(arguments)}"
    parameters = inspect.signature(function).parameters.values()
    known = [f"--{p.name.replace('_', '-')}" for p in parameters if p.kind is not p.POSITIONAL_ONLY]
    return f"no option {option}; {suggestion(option, known)}"


def at_least(least: int, **options: int | None) -> None:
    """Raise ConfigError for an option below ``least``; what is None was not given."""
    for name, value in options.items():
        if value is not None and value < least:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")


def check_outputs(outputs: Mapping[str, str | os.PathLike | None], inputs: Iterable[str | os.PathLike | None]) -> None:
    """Refuse files to write that are an input, each other, or a folder; for commands to call before they read anything.

    What a killed command left of such a file in the making goes away.

    Args:
        outputs: option -> file; None and an empty name were not given.
        inputs: files that are read; names of other things do no harm.

    Raises:
        ConfigError: naming option and file.
    """
    inputs = list(inputs)
    taken = {os.path.realpath(path): "an input of this command" for path in inputs if path}
    folders = {path: os.path.realpath(path) for path in inputs if path and os.path.isdir(path)}
    for option, path in outputs.items():
        if not path or is_stream(path):
            continue
        place = os.path.realpath(path)
        for folder, inside in folders.items():
            if os.path.lexists(place) and place.startswith(os.path.join(inside, "")):
                raise ConfigError(f"{option} {path} would overwrite a part of {folder}, an input; give another file")
        if place in taken:
            raise ConfigError(f"{option} {path} would overwrite {taken[place]}; give another file")
        taken[place] = f"what {option} writes"
        if os.path.isdir(place):
            raise ConfigError(f"{option} {path} is a folder; give a file")
        clear_parts(place)
        above = next(folder for folder in Path(place).parents if os.path.exists(folder))
        if not above.is_dir():
            raise ConfigError(f"{option} {path}: {above} is a file, and nothing can be written below it")


def shell(*words: object) -> str:
    """Words of a command as a shell reads them back, whatever blanks and quotes are in names."""
    return shlex.join(map(str, words))


def beside_output(path: str | os.PathLike | None) -> TextIO:
    """Where a command says what it wrote: on standard output, unless that is what it wrote."""
    return sys.stderr if path and is_stdout(path) else sys.stdout


def talk() -> None:
    """Let ltr's log lines (information and warnings, with --quiet warnings alone) appear on the terminal, undecorated."""
    logger = logging.getLogger("ltr")
    if not logger.handlers:
        handler = _Terminal()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(loudness())


class _Terminal(logging.StreamHandler):
    """Writes to what ``sys.stderr`` is at that moment, not to what it was when logging began."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        pass


def parser_of(function: Callable, prog: str, short: dict[str, str] | None = None) -> argparse.ArgumentParser:
    """The argument parser of a typed function; see ``run``."""
    text, helps = _docstring(inspect.getdoc(function) or "")
    parser = argparse.ArgumentParser(
        prog=prog, description=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    hints = typing.get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        options = _options(hints[name])
        missing = parameter.default is inspect.Parameter.empty
        shown = "" if missing or parameter.default in (None, False, "") else f" (default: {_shown(parameter.default)})"
        options["help"] = (helps.get(name, "") + shown).replace("%", "%%")
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            if not missing:
                options.update(default=parameter.default, nargs=options.get("nargs", "?").replace("+", "*"))
            parser.add_argument(name, **options)
            continue
        flags = [f"--{name.replace('_', '-')}"] + ([f"--{name}"] if "_" in name else [])
        flags += [short[name]] if short and name in short else []
        parser.add_argument(
            *flags, dest=name, required=missing, default=None if missing else parameter.default, **options
        )
    return parser


def _options(hint: Any) -> dict[str, Any]:
    if get_origin(hint) in (Union, types.UnionType):
        several = [a for a in get_args(hint) if a is not type(None)]
        if len(several) > 1:
            return {"type": _one_of(several), "metavar": "|".join(map(_named, several))}
        hint = several[0]
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is list:
        return {"nargs": "+", "action": _Once, **_options(get_args(hint)[0])}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    return {"type": hint}


class _Once(argparse.Action):
    """Keeps the values of a list, which are given at once: those of a second time would take the place of the first."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if getattr(namespace, self.dest) is not self.default:
            raise argparse.ArgumentError(self, "is given twice; list all values behind one")
        setattr(namespace, self.dest, values)


def _one_of(hints: Sequence[Any]) -> Callable[[str], Any]:
    """What reads a value that is one of some words, or of another type."""
    words = [word for hint in hints if get_origin(hint) is Literal for word in get_args(hint)]
    other = next(hint for hint in hints if get_origin(hint) is not Literal)

    def read(text: str) -> Any:
        return text if text in words else other(text)

    read.__name__ = " or ".join([other.__name__, *words])  # argparse says: invalid NAME value
    return read


def _named(hint: Any) -> str:
    return "|".join(get_args(hint)) if get_origin(hint) is Literal else hint.__name__.upper()


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _docstring(doc: str) -> tuple[str, dict[str, str]]:
    """(text before Args, {argument: help})."""
    text, _, rest = doc.partition("\nArgs:\n")
    helps: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            break
        entry = re.match(r" {4}(\w+): (.*)", line)
        if entry:
            name = entry[1]
            helps[name] = entry[2]
        elif name and line.strip():
            helps[name] += " " + line.strip()
    return text.strip(), helps
