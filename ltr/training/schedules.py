"""Learning-rate schedules with warm-up, as factors of the peak rate."""

from __future__ import annotations

import math

from ltr.errors import ConfigError
from ltr.io.names import suggestion

SCHEDULES = ("linear", "cosine", "constant")


def factor(step: int, total: int, warmup: float, schedule: str) -> float:
    """The share of the peak learning rate at an optimiser step.

    It rises linearly over the first ``warmup * total`` steps, then falls to 0 at ``total`` along a line or half a
    cosine, or stays.

    Args:
        step: optimiser steps done, from 0.
        total: optimiser steps of the whole training.
        warmup: share of the steps that warm up, in [0, 1).
        schedule: ``"linear"``, ``"cosine"`` or ``"constant"``.

    >>> [factor(s, 10, 0.2, "linear") for s in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = min(1.0, (step - rising) / max(1, total - rising))
    if schedule == "linear":
        return 1 - done
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1.0


def check(schedule: str, warmup: float) -> None:
    """Raise ConfigError for an unknown schedule or a warm-up outside [0, 1)."""
    if schedule not in SCHEDULES:
        raise ConfigError(f"RankingModule: unknown schedule {schedule!r}; {suggestion(schedule, SCHEDULES)}")
    if not 0 <= warmup < 1:
        raise ConfigError(f"RankingModule: warmup is a share of the steps in [0, 1), got {warmup}")
