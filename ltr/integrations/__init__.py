"""Rankers and tools of other packages behind the interfaces of ltr, one file for each package.

Names load lazily, and the foreign packages only when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltr.io.importing.lazy import lazy_names

#: public name -> the module that defines it
_HOMES = {"LambdaMART": ".lightgbm"}

if TYPE_CHECKING:
    from ltr.integrations.lightgbm import LambdaMART

__all__ = ["LambdaMART"]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name
    __getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
