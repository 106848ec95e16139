"""The classes that expressions name: short names, import paths, and what may be imported."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection
from dataclasses import is_dataclass

from ltr.errors import ConfigError
from ltr.expressions.syntax import package_of
from ltr.io.importing.declarations import exported
from ltr.io.importing.imports import imported
from ltr.io.names import suggestion

#: packages whose public classes go by their short names
PACKAGES = ("ltr.links", "ltr.losses", "ltr.scorers", "ltr.data")
#: their public classes that are bases, or no settings of anything
OTHERS = {
    "Link",
    "ShapedLink",
    "Loss",
    "PairLoss",
    "PairWeights",
    "Targets",
    "Laws",
    "Scorer",
    "FeatureScorer",
    "FeatureSettings",
    "ModelSettings",
    "Collection",
    "TokenStore",
}
#: where a class of the user's own must have a base: whatever else lies in a module is none of our business
BASES = ("ltr", "torch", "pytorch_lightning")


def known_names(*packages: str) -> dict[str, str]:
    """Classes that go by their short names -> the package that exports them; nothing is imported.

    Args:
        packages: of these; default: all of ``PACKAGES``.
    """
    return {name: home for home in packages or PACKAGES for name in exported(home) if name not in OTHERS}


def class_of(name: str, packages: Collection[str] | None = ()) -> type:
    """The class of a name, short or with its modules.

    Args:
        name: such as ``Sigmoid``, ``ltr.links.Sigmoid`` or ``mypkg.Mine``.
        packages: see ``value_of``.

    Raises:
        ConfigError: with the reason: no such module or name (and the nearest known one), no class that could be meant.
    """
    known = known_names()
    if name in known:
        return getattr(importlib.import_module(known[name]), name)
    if "." not in name:
        near = known_names("ltr.links", "ltr.losses")
        near = near if suggestion(name, near).startswith("did you mean") else known
        raise ConfigError(f"no link or loss {name!r}; {suggestion(name, near)}")
    check_package(name, ("ltr", *packages) if packages is not None else None)
    cls = imported(name, known)
    if not inspect.isclass(cls):
        raise ConfigError(f"{name} must be a class, got the {type(cls).__name__}")
    bases = [base.__module__.partition(".")[0] for base in cls.__mro__[:-1]]
    if not (set(bases) & set(BASES) or is_dataclass(cls)):
        raise ConfigError(f"{name} derives from no class of ltr, such as ltr.losses.Loss or ltr.links.Link")
    return cls


def import_path(made: type, short: bool = False) -> str:
    """The import path of a class: for those of ltr that of the package, in which they may move, or their ``short`` name."""
    home = known_names().get(made.__name__)
    if home is not None and getattr(importlib.import_module(home), made.__name__) is made:
        return made.__name__ if short else f"{home}.{made.__name__}"
    return f"{made.__module__}.{made.__qualname__}"


def check_package(name: str, packages: Collection[str] | None) -> None:
    """Refuse a name whose package may not be imported. Raises ConfigError."""
    if packages is not None and package_of(name) not in packages:
        raise ConfigError(
            f"{name} is not imported: only a command line, a spec or a configuration of yours may name modules of yours"
        )
