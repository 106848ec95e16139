"""What a training is worth: its runs beside the first stage's, measured and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ltr.io.merging import renamed
from ltr.io.trec import Qrels, Run
from ltr.metrics import Evaluation, evaluate, interpolate
from ltr.metrics.compare import compare
from ltr.report.results import contrasts_table, long_table, means_table

FIRST = "first stage"


@dataclass
class Results:
    """Runs of one part of the data (dev or test) and their judgements.

    Attributes:
        part: ``"dev"`` or ``"test"``.
        runs: the first stage, then the trained model, then their interpolation where a weight was chosen.
        qrels: judgements of the part's queries.
        measures: what the table shows.
    """

    part: str
    runs: list[Run]
    qrels: Qrels
    measures: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, part: str, first: Run, trained: Run, weight: float | None, qrels: Qrels, measures: list[str]
    ) -> Results:
        """The first stage, the trained model, and both mixed with the first stage's ``weight``."""
        runs = [renamed(first, FIRST), renamed(trained, "trained")]
        if weight is not None:
            runs.append(interpolate(first, trained, weight, name=f"interpolated ({weight:.2f} x first)"))
        return cls(part, runs, qrels, measures)

    def text(self, runs: Sequence[Run] | None = None, measures: Sequence[str] | None = None, title: str = "") -> str:
        """Means with intervals, and below them each run against the first stage: differences, wins, paired tests.

        Args:
            runs: the runs to show; default: all.
            measures: what to show of them; default: the training's.
            title: above the table; default: the part.
        """
        evaluations = self._evaluations(runs, measures)
        comparison = compare(evaluations, baseline=FIRST)
        tables = [
            means_table(evaluations, comparison, title or self.part),
            contrasts_table(comparison, f"Against {FIRST}"),
        ]
        return "\n\n".join(table.text() for table in tables)

    def content(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON."""
        evaluations = self._evaluations(None, None)
        return long_table(evaluations, compare(evaluations, baseline=FIRST)).content()

    def _evaluations(self, runs: Sequence[Run] | None, measures: Sequence[str] | None) -> list[Evaluation]:
        return [evaluate(run, self.qrels, measures or self.measures) for run in runs or self.runs]
