"""Rankers and tools of other packages behind the interfaces of ltr, one file for each package.

Names load lazily, and the foreign packages only when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

#: public name -> the module that defines it
_HOMES = {"LambdaMART": "lightgbm"}

if TYPE_CHECKING:
    from ltr.integrations.lightgbm import LambdaMART

__all__ = ["LambdaMART"]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name

    def __getattr__(name: str):
        if name not in _HOMES:
            raise AttributeError(
                f"module 'ltr.integrations' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}"
            )
        value = getattr(importlib.import_module(f"ltr.integrations.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
