"""What a training is worth: its runs beside the first stage's, measured and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ltr.io.merging import renamed
from ltr.io.trec import Qrels, Run
from ltr.metrics import evaluate, interpolate
from ltr.metrics.compare import compare
from ltr.report.results import means_table
from ltr.report.tables import Table

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

    def table(self, runs: Sequence[Run] | None = None, measures: Sequence[str] | None = None, title: str = "") -> Table:
        """Means with intervals and paired tests against the first stage."""
        evaluations = [evaluate(run, self.qrels, measures or self.measures) for run in runs or self.runs]
        return means_table(evaluations, compare(evaluations, baseline=FIRST), title=title or self.part)
