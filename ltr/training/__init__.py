"""Training: the Lightning module, its schedules, and the run folder that a training leaves behind.

The public names load lazily: Lightning takes seconds, and records of trainings are read without it.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

#: public name -> the module that defines it
_HOMES = {"RankingModule": "module", "RunFolder": "run_folder"}

if TYPE_CHECKING:
    from ltr.training.module import RankingModule
    from ltr.training.run_folder import RunFolder

__all__ = ["RankingModule", "RunFolder"]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name

    def __getattr__(name: str):
        if name in _HOMES:
            value = getattr(importlib.import_module(f"ltr.training.{_HOMES[name]}"), name)
        elif importlib.util.find_spec(f"ltr.training.{name}"):  # ltr.training.module, with no import of its own
            value = importlib.import_module(f"ltr.training.{name}")
        else:
            raise AttributeError(f"module 'ltr.training' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
