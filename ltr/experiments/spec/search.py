"""What is tuned, and how: the same number of trials for every loss, each chosen from what earlier trials gave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ltr.errors import ConfigError, MissingExtra

Params = dict[str, Any]

#: trials at least that are drawn at random, before a model of the earlier ones is trusted
RANDOM = 4


@dataclass(frozen=True)
class Range:
    """Values that one setting may take.

    Args:
        low, high: the ends of a range, both included.
        log: draw its logarithm evenly (learning rates, widths, temperatures).
        choices: these values instead of a range.
        default: the value of the first trial, and of all where there is no tuning; default: the middle of the range,
            the first of the choices.

    Raises:
        ConfigError: neither a rising range nor choices; a logarithm of what is not positive; a default outside.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    default: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise ConfigError("a search has choices, or low and high, not both")
            if self.default is not None and self.default not in self.choices:
                raise ConfigError(f"the default must be one of the choices {list(self.choices)}, got {self.default!r}")
            return
        ends = [self.low, self.high]
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v) for v in ends):
            raise ConfigError(
                f"a search needs finite low and high, or choices, got low {self.low!r}, high {self.high!r}"
            )
        low, high = float(self.low), float(self.high)  # type: ignore[arg-type]
        if not low < high:
            raise ConfigError(f"a search must rise from low to high, got {low:g} and {high:g}")
        if self.log and low <= 0:
            raise ConfigError(f"a search on a logarithmic scale needs a positive low, got {low:g}")
        if self.default is not None and not low <= float(self.default) <= high:
            raise ConfigError(f"the default must lie between low {low:g} and high {high:g}, got {self.default!r}")

    @property
    def start(self) -> Any:
        """The value of the first trial."""
        if self.default is not None:
            return self.default
        if self.choices:
            return self.choices[0]
        assert self.low is not None
        assert self.high is not None
        return math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2

    def typed(self, value: Any) -> Any:
        """A value as one would type it: four significant digits, inside the range."""
        if self.choices or not isinstance(value, float):
            return value
        assert self.low is not None
        assert self.high is not None
        return min(max(float(f"{value:.4g}"), float(self.low)), float(self.high))


Space = Mapping[str, Range]


def starting(space: Space) -> Params:
    """The settings of the first trial.

    >>> starting({"lr": Range(1e-5, 1e-3, log=True), "center": Range(0, 4)})
    {'lr': 0.0001, 'center': 2.0}
    """
    return {name: one.typed(one.start) for name, one in space.items()}


def suggest(
    space: Space, history: Sequence[tuple[Params, float | None]], trials: int, larger: bool, seed: int
) -> Params:
    """The settings of the next trial.

    The first are the defaults, the next are random, the rest come from Optuna's tree-structured Parzen estimator. They
    depend on nothing but the arguments, so that a benchmark that was stopped goes on with the same trials.

    Args:
        space: what is tuned.
        history: settings and dev value of the trials so far; None for one that failed.
        trials: how many there will be.
        larger: whether larger dev values are better.
        seed: of the random numbers.

    Source: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; T. Akiba et al., "Optuna",
    KDD 2019.
    """
    if not history or not space:
        return starting(space)
    try:
        import optuna
    except ImportError:
        raise MissingExtra("optuna", "benchmark", "to choose trials after the first") from None
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, BaseDistribution] = {}
    for name, one in space.items():
        if one.choices:
            distributions[name] = CategoricalDistribution(one.choices)
        else:
            assert one.low is not None
            assert one.high is not None
            distributions[name] = FloatDistribution(one.low, one.high, log=one.log)
    sampler = optuna.samplers.TPESampler(seed=seed + len(history), n_startup_trials=max(RANDOM, trials // 3))
    study = optuna.create_study(direction="maximize" if larger else "minimize", sampler=sampler)
    for params, value in history:
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value, state=state))
    return {name: space[name].typed(value) for name, value in study.ask(distributions).params.items()}


def best(history: Sequence[tuple[Params, float | None]], larger: bool) -> int | None:
    """The number of the best trial (the earliest of equals); None where all failed."""
    done = [(value if larger else -value, -i) for i, (_, value) in enumerate(history) if value is not None]
    return -max(done)[1] if done else None
