"""Training: the Lightning module, its schedules, and the run folder that a training leaves behind.

The public names load lazily: Lightning takes seconds, and records of trainings are read without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltr.io.importing.lazy import lazy_names

#: public name -> the module that defines it
_HOMES = {"RankingModule": ".module", "RunFolder": ".run.run_folder"}

if TYPE_CHECKING:
    from ltr.training.module import RankingModule
    from ltr.training.run.run_folder import RunFolder

__all__ = ["RankingModule", "RunFolder"]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name
    __getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
