"""From calls to objects, mappings and text, and from objects back to calls."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import types
from collections.abc import Mapping
from typing import Any

from ltr.errors import ConfigError, LtrError
from ltr.expressions.calls import Call, Hole
from ltr.expressions.classes import import_path


def built(value: Any) -> Any:
    """The object that a call makes, and those that its arguments make."""
    if isinstance(value, Hole):
        raise ConfigError(f"{{{value.name}}} stands for a value that a search gives, which there is none of here")
    if isinstance(value, (list, tuple)):
        return type(value)(built(one) for one in value)
    if isinstance(value, dict):
        return {key: built(one) for key, one in value.items()}
    if not isinstance(value, Call):
        return value
    arguments = {key: built(one) for key, one in value.arguments.items()}
    try:
        return value.made(**arguments)
    except LtrError:
        raise
    except Exception as error:  # a class of the user's own may raise whatever it likes
        raise ConfigError(f"{as_text(value)} cannot be made: {type(error).__name__}: {error}") from error


def as_mapping(value: Any) -> Any:
    """A call as ``class_path`` and ``init_args``."""
    if isinstance(value, Hole):
        return f"{{{value.name}}}"
    if isinstance(value, (list, tuple)):
        return [as_mapping(one) for one in value]
    if isinstance(value, dict):
        return {key: as_mapping(one) for key, one in value.items()}
    if not isinstance(value, Call):
        return value
    arguments = {key: as_mapping(one) for key, one in value.arguments.items()}
    return {"class_path": import_path(value.made), **({"init_args": arguments} if arguments else {})}


def as_text(value: Any, named: bool = False) -> str:
    """A call as an expression, with all arguments ``named`` or the first ones by their places."""
    from ltr.links import Scaled, Sum
    from ltr.links.from_labels import FocusOnLabels

    def inside(one: Any) -> str:
        return as_text(one, named)

    if isinstance(value, Hole):
        return f"{{{value.name}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(inside, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{', '.join(map(inside, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {inside(one)}' for key, one in value.items())}}}"
    if not isinstance(value, Call):
        return repr(value)
    parts = value.arguments.get("parts")
    if value.made is Sum and isinstance(parts, (list, tuple)) and len(parts) > 1:
        return " + ".join(map(inside, parts))
    if value.made is Scaled:
        link, factor = value.arguments["link"], value.arguments["factor"]
        several = isinstance(link, Call) and link.made is Sum and len(link.arguments["parts"]) > 1
        return f"{inside(factor)} * {f'({inside(link)})' if several else inside(link)}"
    if value.made is FocusOnLabels:
        given = [f"{key}={inside(one)}" for key, one in value.arguments.items() if key != "kind" and one is not None]
        return f"{value.arguments['kind']}.focus({', '.join(one for one in given if one != 'scale=1.0')})"
    shown, bare = [], not named
    rest = {key: inside(one) for key, one in value.arguments.items()}
    for p in inspect.signature(value.made).parameters.values():
        bare = bare and p.name in rest and p.default is p.empty and p.kind is not p.KEYWORD_ONLY
        if p.name in rest:
            text = rest.pop(p.name)
            shown.append(text if bare else f"{p.name}={text}")
    shown += [f"{key}={text}" for key, text in rest.items()]
    return f"{import_path(value.made, short=True)}({', '.join(shown)})"


def as_call(value: Any, explicit: bool = False) -> Any:
    """The call that makes an object again, with the arguments that differ from their defaults, or that ``repr`` shows."""
    from ltr.links import Link
    from ltr.losses.base import LEFT_OUT

    if isinstance(value, (list, tuple)):
        return type(value)(as_call(one, explicit) for one in value)
    if isinstance(value, dict):
        return {key: as_call(one, explicit) for key, one in value.items()}
    if isinstance(value, float) and math.isnan(value):
        raise ConfigError("nan cannot be written down: no expression reads it back; take a number, or None")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (type, types.BuiltinFunctionType, types.FunctionType, types.MethodType)):
        raise ConfigError(
            f"{getattr(value, '__qualname__', value)!r} cannot be written down: it is no object of a class that keeps its "
            "arguments; take an instance, or Numeric('module:function') for a link"
        )
    made = type(value)
    arguments: dict[str, Any] = {}
    for p in _parameters(made):
        if p.kind is p.VAR_POSITIONAL:
            if getattr(value, p.name, ()):
                raise ConfigError(
                    f"{import_path(made)} cannot be written down: {p} have no names; let __init__ take a list"
                )
            continue
        if p.kind is p.VAR_KEYWORD:
            kept = getattr(value, p.name, {})
            arguments |= {key: as_call(one, explicit) for key, one in kept.items()} if isinstance(kept, Mapping) else {}
            continue
        if not hasattr(value, p.name):
            raise ConfigError(
                f"{import_path(made)} cannot be written down: it keeps no {p.name!r}; let __init__ set self.{p.name} to what "
                "it was given"
            )
        kept = as_call(getattr(value, p.name), explicit)
        shown = explicit and not isinstance(value, Link) and (p.name, kept) not in LEFT_OUT
        if shown or p.default is p.empty or kept != as_call(p.default, explicit):
            arguments[p.name] = kept
    return Call(made, arguments)


def _parameters(made: type) -> list[inspect.Parameter]:
    """What a class is made from; Python's own types have a signature in some of its versions alone, and keep nothing."""
    try:
        if made.__module__ != "builtins":
            return list(inspect.signature(made).parameters.values())
    except ValueError:
        pass
    raise ConfigError(
        f"a {made.__name__} cannot be written down; take numbers, texts, lists, or classes that keep their arguments"
    )


def completed(value: Any) -> Any:
    """A call with its defaults written out, for readers that keep what was said before of the same class."""
    if isinstance(value, (list, tuple)):
        return type(value)(completed(one) for one in value)
    if isinstance(value, dict):
        return {key: completed(one) for key, one in value.items()}
    if not isinstance(value, Call):
        return value
    arguments = {key: completed(one) for key, one in value.arguments.items()}
    for name, default in _defaults(value.made).items():
        if name not in arguments:
            with contextlib.suppress(ConfigError):  # a default that no configuration can say cannot stand in one either
                arguments[name] = completed(as_call(default))
    return Call(value.made, arguments)


def _defaults(made: type) -> dict[str, Any]:
    """What a class takes for the arguments that need not be given."""
    factories = {f.name: f.default_factory for f in dataclasses.fields(made)} if dataclasses.is_dataclass(made) else {}
    defaults: dict[str, Any] = {}
    for p in inspect.signature(made).parameters.values():
        if p.default is not p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            factory = factories.get(p.name, dataclasses.MISSING)
            defaults[p.name] = p.default if factory is dataclasses.MISSING else factory()
    return defaults
