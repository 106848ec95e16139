"""The shipped configurations, found in a checkout or beside an installed package."""

from __future__ import annotations

import sys
from pathlib import Path

import ltr
from ltr.errors import DataError
from ltr.io.names import suggestion

#: whose files go by their bare names; others have their folder before it, such as loss/matching
RECIPES = "recipes"


def home() -> Path:
    """The folder of the shipped configurations. Raises DataError where they were not installed."""
    homes = [Path(ltr.__file__).parents[1] / "configs", Path(sys.prefix, "share", "ltr", "configs")]
    there = next((h for h in homes if (h / RECIPES).is_dir()), None)
    if there is None:
        raise DataError(
            f"recipes: found neither {homes[0]} nor {homes[1]}; install ltr anew, or run from a checkout of it"
        )
    return there


def shipped() -> dict[str, Path]:
    """Name -> file of all shipped configurations: recipes first, then what changes one part of them."""
    files = sorted(home().glob("*/*.yaml"), key=lambda path: (path.parent.name != RECIPES, path))
    return {path.stem if path.parent.name == RECIPES else f"{path.parent.name}/{path.stem}": path for path in files}


def recipe(name: str) -> Path:
    """The path of a shipped configuration, such as ``recipe("pydocs")`` or ``recipe("loss/matching")``.

    Raises:
        DataError: there is none of this name, or the recipes were not installed.
    """
    known = shipped()
    if name not in known:
        raise DataError(f"recipe {name!r}: {suggestion(name, known)}; ltr recipes lists them")
    return known[name]


def configuration(name: str, folder: str = "") -> str:
    """The file that is meant where a file or the name of a shipped configuration may stand.

    Args:
        name: a path, or a name; a file goes before a shipped one.
        folder: of the names that are meant, such as ``benchmarks/``.

    Raises:
        DataError: it can only be a name, and there is none such.
    """
    path = Path(name).expanduser()
    if path.suffix or not name or (path.exists() and not path.is_dir()):
        return name
    known = {key.removeprefix(folder): file for key, file in shipped().items() if key.startswith(folder)}
    if name in known:
        return str(known[name])
    if path.is_absolute() or (path.parent != Path() and path.parent.is_dir()):
        return name  # a file that is missing, which its reader tells
    raise DataError(
        f"no file {name}, and no shipped configuration of that name; {suggestion(name, known)}; ltr recipes lists them"
    )
