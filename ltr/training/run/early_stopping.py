"""The best validation so far, and when to give up waiting for a better one."""

from __future__ import annotations

from dataclasses import dataclass

from ltr.training.run.monitor import Mode, is_better


@dataclass
class Best:
    """The best value of the monitored measure.

    Attributes:
        monitor: the measure's text.
        mode: ``max`` when larger is better, ``min`` when smaller is.
        patience: how many validations without a better value are too many; None: never.
        value: the best so far; None before any that is finite.
        step: the optimiser step at which it was reached.
        bad_rounds: validations since then.
    """

    monitor: str
    mode: Mode | None = None
    patience: int | None = None
    value: float | None = None
    step: int = 0
    bad_rounds: int = 0

    def improves(self, value: float) -> bool:
        """Whether a value is better than the best so far; see ``is_better``."""
        return is_better(value, self.value, self.mode == "max")

    def judge(self, value: float, step: int) -> bool:
        """Count one validation; whether it is the best so far."""
        better = self.improves(value)
        self.bad_rounds = 0 if better else self.bad_rounds + 1
        if better:
            self.value, self.step = value, step
        return better

    @property
    def judged(self) -> bool:
        """Whether any validation was complete."""
        return self.value is not None or self.bad_rounds > 0

    @property
    def exhausted(self) -> bool:
        """Whether so many validations brought nothing better that training should end."""
        return self.patience is not None and self.bad_rounds >= self.patience
