"""Public names of a package that load when they are first asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package: it imports the module of a public name, and keeps the name in the package.

    Modules of the package are its attributes too, without an import of their own.

    Args:
        package: its ``__name__``.
        homes: public name -> the module that defines it, from the root or, behind a point, below the package; ``"."`` where
            the name is itself a module of the package.

    >>> lazy_names("json", {"JSONDecoder": ".decoder"})("JSONDecoder").__name__
    'JSONDecoder'
    """

    def __getattr__(name: str) -> Any:
        home = homes.get(name)
        if home is not None and home != ".":
            value = getattr(importlib.import_module(home, package), name)
        elif home == "." or (not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}")):
            value = importlib.import_module(f"{package}.{name}")
        else:
            from ltr.io.names import suggestion

            raise AttributeError(f"module {package!r} has no attribute {name!r}; {suggestion(name, homes)}")
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
