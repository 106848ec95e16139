"""Arguments in which a class that replaces another starts from its own defaults.

jsonargparse merges what is said of a class with what stood before, of another class too wherever both take an argument:
``--model.loss=ListNet`` would keep the targets of the recipe's loss. Here the defaults of a class that replaces another
are written out beside its name, so that nothing is left to merge but arguments that have no default (a scorer's model).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from jsonargparse import ArgumentParser
from pytorch_lightning import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ltr.errors import ConfigError
from ltr.expressions import class_of, defaults_of, expanded, is_expression, is_mapping
from ltr.expressions.classes import BASES
from ltr.io.lines import Lines, plain
from ltr.io.names import is_class_name


def with_own_defaults(argv: Sequence[str]) -> list[str]:
    """The same arguments, with what a class replaces told to be the class's defaults.

    Args:
        argv: of ``ltr fit``: options, their values behind ``=`` or as the next argument, configurations among them.
    """
    standing = _Standing()
    rest: list[str] = []
    for option, value in _pairs(argv):
        if value is None:
            rest.append(option)
        elif option.endswith("+"):  # one more of a list, in place of nothing
            rest.append(f"{option}={value}")
        elif option in ("--config", "-c"):
            rest.append(f"--config={standing.configuration(value)}")
        else:
            rest.append(standing.argument(option, value))
    return rest


def _pairs(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    waiting = iter(range(len(argv)))
    for i in waiting:
        option, equals, value = argv[i].partition("=")
        if equals or not option.startswith("-"):
            yield (option, value) if option.startswith("-") else (argv[i], None)
        elif i + 1 < len(argv) and not argv[i + 1].startswith("--"):
            yield option, argv[next(waiting)]
        else:
            yield option, None


class _Standing:
    """Which class stands at which place, as the arguments are gone through in their order."""

    def __init__(self) -> None:
        #: dotted name of a setting, without init_args -> the class's name
        self.names: dict[str, str] = {}
        #: settings that are lists
        self.lists: set[str] = set()

    def configuration(self, path: str) -> str:
        """The path of a configuration, or its content where that has to be another."""
        content = Lines(path, "configuration").content
        said = self._said("", content, False)
        return path if said == content else _one_line(said)

    def argument(self, option: str, value: str) -> str:
        """An option with its value, or with the mapping that has to stand there."""
        place = option.lstrip("-").replace(".init_args", "")
        if place.endswith(".class_path"):
            option, place = option.removesuffix(".class_path"), place.removesuffix(".class_path")
            said = self._said(place, {"class_path": value}, False)
            return f"{option}={_one_line(said)}" if len(said) > 1 else f"{option}.class_path={value}"
        given = _content(value)
        said = self._said(place, given, False)
        return f"{option}={value if said == given else _one_line(said)}"

    def _said(self, place: str, value: Any, anew: bool) -> Any:
        """A value with the defaults of its classes where they replace others, or where all of it stands ``anew``."""
        if isinstance(value, str) and is_expression(value):
            failed: list[tuple[str, ConfigError]] = []
            made = expanded(value, failed)
            if not failed:  # else the parser tells
                self._said(place, made, anew)  # what reads an expression writes out its defaults
            return value
        if is_mapping(value) and isinstance(value["class_path"], str):
            return self._class(place, value, anew)
        if isinstance(value, Mapping):
            return {key: self._said(_inside(place, key), one, anew) for key, one in value.items()}
        if isinstance(value, list):
            anew = anew or place in self.lists
            self.lists.add(place)
            return [self._said(_inside(place, i), one, anew) for i, one in enumerate(value)]
        if isinstance(value, str) and is_class_name(value.rpartition(".")[2]):
            said = self._class(place, {"class_path": value}, anew)
            return said if len(said) > 1 else value
        return value

    def _class(self, place: str, value: Mapping[str, Any], anew: bool) -> dict[str, Any]:
        name, before = value["class_path"], self.names.get(place)
        made = _made(name, place) if anew or before not in (None, name) else None
        replaces = made is not None and (anew or _made(before or "", place) not in (None, made))
        self.names[place] = name
        given = value.get("init_args") or {}
        arguments = {key: self._said(_inside(place, key), one, replaces) for key, one in given.items()}
        if made is not None and replaces:
            own = {key: one for key, one in own_defaults(made).items() if key not in arguments}
            arguments |= {key: self._said(_inside(place, key), one, False) for key, one in own.items()}
        return {**value, **({"init_args": arguments} if arguments or "init_args" in value else {})}


def own_defaults(made: type) -> dict[str, Any]:
    """The defaults of a class, with those of its bases and of other callables that it passes on by ``**kwargs``."""
    parser = ArgumentParser()
    parser.add_class_arguments(made, "made")
    taken = parser.get_defaults().as_dict().get("made", {})
    bases = [
        defaults_of(base) for base in reversed(made.__mro__) if isinstance(base, type) and "__init__" in vars(base)
    ]
    own = {key: value for own in bases for key, value in own.items() if key in taken}
    # what is handed on to others than bases, as torch's and Lightning's classes do; None may stand for no default
    for key, value in taken.items():
        if key not in own and isinstance(value, (bool, int, float, str, datetime.timedelta)):
            own[key] = str(value) if isinstance(value, datetime.timedelta) else value
    return own


def _inside(place: str, key: object) -> str:
    if key == "init_args":
        return place
    return f"{place}.{key}" if place else str(key)


def _made(name: str, place: str) -> type | None:
    """The class of a name; None where it is none that we know: whoever reads the value says what is wrong with it."""
    try:
        return class_of(name, None) if name else None
    except ConfigError:
        return _of_others(name, place)


def _of_others(name: str, place: str) -> type | None:
    """The class of Lightning or torch, or one derived from theirs, that goes by a short name at a place.

    As the parser finds it: among the classes that have been imported and derive from what stands there. None for a name
    that several of them have, which the parser refuses.
    """
    known: set[type] = {made for base in _bases(place) for made in _derived(base)}
    named = [made for made in known if made.__name__ == name]
    return named[0] if len(named) == 1 else None


def _bases(place: str) -> Iterator[type]:
    """What classes at a place derive from, where that is not ltr's."""
    group, _, rest = place.partition(".")
    if group == "optimizer":
        yield Optimizer
    elif group == "lr_scheduler":
        yield LRScheduler
    elif group == "trainer":
        yield from _classes_in(get_type_hints(Trainer.__init__).get(rest.partition(".")[0]))


def _classes_in(taken: Any) -> Iterator[type]:
    """The classes in a type that are no values of Python's own."""
    if isinstance(taken, type) and taken.__module__.partition(".")[0] in BASES:
        yield taken
    for part in get_args(taken):
        yield from _classes_in(part)


def _derived(base: type) -> Iterator[type]:
    yield base
    below: list[type] = base.__subclasses__()
    for made in below:
        yield from _derived(made)


def _content(value: str) -> Any:
    """What an argument says: a mapping on one line, that of a file, or its text."""
    try:
        if value.lstrip().startswith(("{", "[")):
            return plain(value)
        if value.endswith((".yaml", ".yml")) and Path(value).is_file():
            return Lines(value, "configuration").content
    except yaml.YAMLError:  # the parser tells
        pass
    return value


def _one_line(value: Any) -> str:
    return yaml.safe_dump(
        value, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=True
    ).strip()
