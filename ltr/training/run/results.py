"""What a training is worth: its runs beside the first stage's, measured and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ltr.io.merging import renamed
from ltr.io.trec import Qrels, Run
from ltr.metrics import (
    Evaluation,
    LabelledLists,
    LabelMeasure,
    Measure,
    evaluate,
    evaluate_labels,
    interpolate,
    measures,
)
from ltr.metrics.measures.yardsticks import yardsticks
from ltr.metrics.statistics.paired import Comparison, compare
from ltr.report.tables.evaluations import contrasts_table, label_table, long_table, means_table
from ltr.report.tables.table import Table

FIRST = "first stage"
TRAINED = "trained"
#: the part on which the weight of an interpolation is chosen
CHOSEN_ON = "dev"


@dataclass
class Results:
    """Runs of one part of the data (dev or test), and what they are measured against.

    Attributes:
        part: ``"dev"`` or ``"test"``.
        runs: the first stage where there is one, then the trained model, then their interpolation where a weight was
            chosen.
        qrels: judgements of the part's queries; None where the labels are real values.
        measures: what the tables show.
        truth: the labels of what was scored, for measures of labels.
        mean: of the training labels, in their unit; None where it is not known.
        back: turns predictions into the unit of the gains; None where labels are learnt as they were read.
    """

    part: str
    runs: list[Run]
    qrels: Qrels | None
    measures: list[str] = field(default_factory=list)
    truth: LabelledLists | None = None
    mean: float | None = None
    back: Callable[[np.ndarray], np.ndarray] | None = None

    @classmethod
    def of(
        cls,
        part: str,
        first: Run | None,
        trained: Run,
        weight: float | None,
        qrels: Qrels | None,
        measures: list[str],
        truth: LabelledLists | None = None,
        mean: float | None = None,
        back: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Results:
        """The first stage, the trained model, and both mixed with the first stage's ``weight``.

        That weight is the best of all that were tried on dev (``best_weight``). The mixture's row says so, also where it is
        measured on dev itself: there its value is the largest of many, and another part's tells what it is worth.
        """
        runs = [] if first is None else [renamed(first, FIRST)]
        runs.append(renamed(trained, TRAINED))
        if weight is not None and first is not None:
            chosen = "chosen on these queries" if part == CHOSEN_ON else f"chosen on {CHOSEN_ON}"
            runs.append(interpolate(first, trained, weight, name=f"interpolated ({weight:.2f} x first, {chosen})"))
        return cls(part, runs, qrels, measures, truth, mean, back)

    def text(self, runs: Sequence[Run] | None = None, measures: Sequence[str] | None = None, title: str = "") -> str:
        """Means with intervals, and below them each run against the first stage: differences, wins, paired tests.

        Measures of labels stand in a table of their own, for the trained model: only its scores are in their unit. Below it
        stands what a constant and a random order reach, and, where labels were transformed, the errors in the unit in which
        they were read.

        Args:
            runs: the runs to show; default: all.
            measures: what to show of them; default: the training's.
            title: above the table; default: the part.
        """
        tables = []
        evaluations, comparison = self._all if runs is measures is None else self._compared(runs, measures)
        if comparison is not None:
            tables.append(means_table(evaluations, comparison, title or self.part))
            if comparison.contrasts:
                tables.append(contrasts_table(comparison, f"Against {comparison.baseline}"))
        tables += self._labels(measures, title if title and not tables else self.part)
        return "\n\n".join(table.text() for table in tables)

    def content(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON; measures of labels under ``labels`` and ``labels_as_read``."""
        (evaluations, comparison), labels = self._all, self._labels(None, self.part)
        content = {} if comparison is None else long_table(evaluations, comparison).content()
        return content | {name: t.content() for name, t in zip(("labels", "labels_as_read"), labels, strict=False)}

    @cached_property
    def _all(self) -> tuple[list[Evaluation], Comparison | None]:
        """All runs by all measures: shown as text, and noted as values."""
        return self._compared(None, None)

    def _compared(
        self, runs: Sequence[Run] | None, texts: Sequence[str] | None
    ) -> tuple[list[Evaluation], Comparison | None]:
        chosen = [m for m in measures(texts or self.measures) if isinstance(m, Measure)]
        if not chosen or not self.qrels:
            return [], None
        evaluations = [evaluate(run, self.qrels, chosen) for run in runs or self.runs]
        return evaluations, compare(evaluations)

    def _labels(self, texts: Sequence[str] | None, title: str) -> list[Table]:
        """The measures of labels in the unit that is learnt; then those that have a unit, in that of the labels as read."""
        chosen = [m for m in measures(texts or self.measures) if isinstance(m, LabelMeasure)]
        trained = next((run for run in self.runs if run.name == TRAINED), None)
        truth = self.truth
        if not chosen or truth is None or trained is None:
            return []
        predictions = truth.predictions(trained)
        rows = [evaluate_labels(predictions, truth, chosen, trained.name), *yardsticks(truth, chosen, self.mean)]
        tables = [label_table(rows, title)]
        exact = [m for m in chosen if m.kind.in_unit]
        if exact and self.back is not None and not np.array_equal(truth.labels, truth.gains):
            read = LabelledLists(truth.query_ids, truth.offsets, truth.gains, None, truth.doc_ids, truth.gain_unit)
            mean = None if self.mean is None else float(self.back(np.array([self.mean]))[0])
            rows = [evaluate_labels(self.back(predictions), read, exact, trained.name), *yardsticks(read, exact, mean)]
            tables.append(label_table(rows, f"{title}, labels and predictions in {truth.gain_unit or 'the unit read'}"))
        return tables
