"""What decides which weights are best: checked before step 1 against what validation measures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pytorch_lightning.callbacks import WeightAveraging

from ltr.data.base import RankingData
from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.metrics.measures.measure import AnyMeasure, Measure, parse

Mode = Literal["max", "min"]


def monitored(text: str, mode: Mode | None, measured: Sequence[str]) -> tuple[AnyMeasure, Mode]:
    """The measure that a run folder monitors, and its direction.

    Args:
        text: of the measure.
        mode: what the user says; None for what the measure says.
        measured: texts of the measures that validation reports.

    Raises:
        ConfigError: the measure is not reported, or the direction is not the measure's.
    """
    measure = parse(text)
    if str(measure) not in measured:
        raise ConfigError(
            f"RunFolder: monitor {str(measure)!r} is not measured; {suggestion(str(measure), measured)}; "
            "add it to model.measures or monitor one of these"
        )
    best: Mode = "max" if measure.larger_is_better else "min"
    if mode not in (None, best):
        raise ConfigError(f"RunFolder: the best {measure} is its {best}imum, got mode {mode}; leave mode out")
    return measure, best


def is_better(value: float, best: float | None, larger: bool) -> bool:
    """Whether a value of the monitored measure is better than the best so far (None: there is none yet).

    One that is not a number, or infinite as after a divergence, never is.

    >>> is_better(0.5, None, larger=True), is_better(float("inf"), 0.5, larger=True), is_better(1.0, 2.0, larger=False)
    (True, False, True)
    """
    if best is None or not math.isfinite(value):
        return math.isfinite(value)
    return value > best if larger else value < best


def check_interpolation(measure: AnyMeasure, data: RankingData) -> None:
    """Raise ConfigError where no interpolation weight can be chosen on dev."""
    if not isinstance(measure, Measure) or data.part("dev").first is None:
        raise ConfigError(
            f"RunFolder: interpolate: dev mixes the first stage's scores in by what {measure} says of the dev ranking, "
            "which takes a measure of judgements and a first stage; set run.interpolate to null"
        )


def check_callbacks(callbacks: Iterable[Any], logged: Sequence[str]) -> None:
    """Raise ConfigError for a callback that monitors what is never logged, or that exchanges weights for a validation."""
    for callback in callbacks:
        if isinstance(callback, WeightAveraging):  # which puts a mean of weights in their place meanwhile
            raise ConfigError(
                f"{type(callback).__name__}: has other weights validated than those that the run folder then keeps; take it out "
                "of trainer.callbacks: run.average=3 tries the mean of the weights of the three best validations"
            )
        key = getattr(callback, "monitor", None)
        if key is not None and key not in logged:
            raise ConfigError(f"{type(callback).__name__}: monitor {key!r} is never logged; {suggestion(key, logged)}")
