"""Training: the Lightning module, its schedules, and the run folder that a training leaves behind.

The public names load lazily: Lightning takes seconds, and records of trainings are read without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

#: public name -> the module that defines it
_HOMES = {"RankingModule": "module", "RunFolder": "run_folder"}

if TYPE_CHECKING:
    from ltr.training.module import RankingModule
    from ltr.training.run_folder import RunFolder

__all__ = ["RankingModule", "RunFolder"]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'ltr.training' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    value = getattr(importlib.import_module(f"ltr.training.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
