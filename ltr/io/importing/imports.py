"""Classes and functions by the names that users write, their own modules in the current folder included."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from ltr.errors import ConfigError
from ltr.io.names import suggestion


def with_current_folder() -> None:
    """Let imports find modules of the current folder, after all that are installed, which they cannot hide."""
    with contextlib.suppress(FileNotFoundError):  # somebody removed the folder
        here = os.getcwd()
        if here not in sys.path and "" not in sys.path:
            sys.path.append(here)


def imported(name: str, known: Iterable[str] = ()) -> Any:
    """What a name with its modules stands for.

    Only for names that the user wrote: importing a module runs it.

    Args:
        name: such as ``mypkg.losses.Mine``.
        known: what else could have been meant, for the error message.

    Raises:
        ConfigError: with the reason first: no such module, a module that breaks, no such name in it.
    """
    home, _, last = name.rpartition(".")
    module = module_of(home, f"there is no {name!r}") if home else None
    if module is None:
        raise ConfigError(f"no class {name!r}; {suggestion(name, known)}")
    if not hasattr(module, last):
        near = [n for n in vars(module) if not n.startswith("_")]
        raise ConfigError(f"module {home!r} has no {last!r}; {suggestion(last, [*near, *known])}")
    return getattr(module, last)


def module_of(name: str, consequence: str) -> ModuleType:
    """A module by its name.

    Raises:
        ConfigError: with the reason first, then the ``consequence``.
    """
    with_current_folder()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise ConfigError(
                f"No module named {missing!r}: {consequence}; is it in the current folder, or installed?"
            ) from error
        raise ConfigError(f"No module named {missing!r}, which {name!r} imports: {consequence}") from error
    except Exception as error:  # whatever a user's module does wrong
        where = traceback.extract_tb(error.__traceback__)[-1]
        at = (
            f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else f"{where.filename}:{where.lineno}"
        )
        said = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigError(f"{type(error).__name__}: {said} ({at}): {consequence}") from error
