"""From what a spec says (``class_path``, ``init_args``) to objects, by jsonargparse."""

from __future__ import annotations

import argparse
import functools
import inspect
import os
import re
from collections.abc import Mapping
from typing import Any

from ltr.errors import ConfigError, LtrError
from ltr.expressions import class_of, expanded, known_names
from ltr.io.names import suggestion

Config = Mapping[str, Any]


def check_parts(kind: str, config: Any) -> None:
    """Raise ConfigError for a class or an argument that does not exist; nothing is built.

    Args:
        kind: ``data``, ``scorers`` or ``rankers``.
        config: ``class_path`` and ``init_args``.
    """
    if not isinstance(config, Mapping) or "class_path" not in config:
        raise ConfigError(f"a class_path and init_args are needed, got {config!r}")
    _parsed(kind, {k: v for k, v in config.items() if k != "search"})


def build(kind: str, config: Config, **arguments: Any) -> Any:
    """The object that a config describes, with some arguments set where it leaves them open or not.

    Args:
        kind: ``data``, ``scorers`` or ``rankers``.
        config: ``class_path`` and ``init_args``.
        arguments: init arguments that take the place of the config's.
    """
    config = {k: filled(v) for k, v in config.items() if k != "search"}
    config["init_args"] = {**(config.get("init_args") or {}), **arguments}
    parser, namespace = _parsed(kind, config)
    make = getattr(parser, "instantiate", None) or parser.instantiate_classes
    try:
        return make(namespace).part
    except LtrError:
        raise
    except ValueError as error:
        raise _explained(error) from error


def takes(kind: str, config: Config, argument: str) -> bool:
    """Whether the class of a config takes an argument."""
    return argument in inspect.signature(_class(kind, str(config["class_path"]))).parameters


def settings_of(what: str) -> list[str]:
    """What a spec may set of the training module (``model``) or of Lightning's trainer (``trainer``)."""
    import pytorch_lightning as pl

    from ltr.training import RankingModule

    made = {"model": RankingModule, "trainer": pl.Trainer}[what]
    # the benchmark gives these itself
    own = {"scorer", "loss", "measures", "callbacks"}
    return [name for name in inspect.signature(made).parameters if name not in own]


def variables(value: Any) -> list[str]:
    """Names of the environment that a text refers to.

    >>> variables("${LTR_DATA}/wikiqa/train")
    ['LTR_DATA']
    """
    return re.findall(r"\$\{(\w+)\}", value) if isinstance(value, str) else []


def filled(value: Any) -> Any:
    """A copy with the environment's values in place of ``${NAME}``."""
    if isinstance(value, Mapping):
        return {k: filled(v) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v) for v in value]
    for name in variables(value):
        if name not in os.environ:
            raise ConfigError(f"{value!r}: the environment holds no {name} here; set it where cells run")
        value = value.replace(f"${{{name}}}", os.environ[name])
    return value


def _parsed(kind: str, config: Config) -> tuple[Any, Any]:
    cls = _class(kind, str(config["class_path"]))
    failed: list[tuple[str, ConfigError]] = []
    arguments = expanded(config.get("init_args") or {}, failed)
    _check_arguments(cls, arguments)
    parser = _parser(cls)
    try:
        return parser, parser.parse_object({"part": arguments})
    except LtrError:
        raise
    except (argparse.ArgumentError, TypeError, ValueError) as error:
        raise next((told for text, told in failed if text in str(error)), _explained(error)) from error


@functools.cache
def _parser(cls: type) -> Any:
    """What parses the arguments of a class, under ``part``; made once, since that takes longer than parsing."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "part")
    return parser


def _explained(error: Exception) -> ConfigError:
    from ltr.training.explaining import explain  # brings torch, which reading a correct spec can do without

    return ConfigError(explain(str(error)).removeprefix("part."))  # which only this file calls it


def _class(kind: str, name: str) -> type:
    """The class of a name, short or with its modules. Raises ConfigError with the nearest known one."""
    base, known = _base(kind), _known(kind)
    if "." not in name and name not in known:
        raise ConfigError(f"no class {name!r}; {suggestion(name, known)}")
    cls = class_of(name, packages=None)
    if not issubclass(cls, base):
        raise ConfigError(f"{name} is no {base.__name__}; {suggestion(name.rpartition('.')[2], known)}")
    return cls


def _check_arguments(cls: type, arguments: Config) -> None:
    """Raise ConfigError for an argument that a class does not take."""
    known = inspect.signature(cls).parameters
    for name in arguments:
        if name not in known:
            raise ConfigError(f"{cls.__name__} takes no {name!r}; {suggestion(name, known)}")


def _known(kind: str) -> list[str]:
    """Classes that may be named shortly."""
    if kind == "rankers":
        return []
    base = _base(kind)
    return [name for name in known_names(f"ltr.{kind}") if issubclass(class_of(name), base)]


def _base(kind: str) -> type:
    """The class that a part of this kind must be of."""
    from ltr.data.base import RankingData
    from ltr.experiments.cells.outside import OutsideRanker
    from ltr.scorers.base import Scorer

    return {"data": RankingData, "scorers": Scorer, "rankers": OutsideRanker}[kind]
