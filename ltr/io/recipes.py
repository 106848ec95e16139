"""The shipped configurations, found in a checkout or beside an installed package."""

from __future__ import annotations

import sys
from pathlib import Path

import ltr
from ltr.errors import DataError
from ltr.io.names import suggestion


def recipe(name: str) -> Path:
    """The path of a shipped recipe, such as ``recipe("pydocs")``.

    Raises:
        DataError: there is none of this name, or the recipes were not installed.
    """
    homes = [
        Path(ltr.__file__).parents[1] / "configs" / "recipes",
        Path(sys.prefix, "share", "ltr", "configs", "recipes"),
    ]
    home = next((h for h in homes if h.is_dir()), None)
    if home is None:
        raise DataError(f"recipe {name!r}: found neither {homes[0]} nor {homes[1]}; run from a checkout of ltr")
    path = home / f"{name}.yaml"
    if not path.exists():
        raise DataError(f"recipe {name!r}: {suggestion(name, [p.stem for p in home.glob('*.yaml')])}")
    return path
