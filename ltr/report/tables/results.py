"""Tables of measured runs: means with intervals and marks, and the paired comparisons in full."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ltr.metrics.engine import Evaluation
from ltr.metrics.measures.labels import LabelEvaluation
from ltr.metrics.measures.measure import AnyMeasure, parse
from ltr.metrics.statistics.paired import Comparison, Contrast
from ltr.report.tables.table import Cell, Table

#: test -> (its mark, its name in notes)
TESTS = {"student": ("†", "Student's paired t-test"), "fisher": ("‡", "Fisher's randomisation test")}
#: the marked chance of error
ALPHA = 0.05


def means_table(
    evaluations: Sequence[Evaluation],
    comparison: Comparison | None = None,
    title: str = "",
    *,
    intervals: bool = True,
) -> Table:
    """One row per run, one column per measure; with a comparison also intervals and marks of significance.

    Args:
        evaluations: of the runs, on the same queries and measures.
        comparison: of these runs, from ``ltr.metrics.statistics.paired.compare``.
        title: above the table.
        intervals: whether to show the comparison's intervals.
    """
    measures = list(evaluations[0].values)
    means = [e.means for e in evaluations]
    best = {m: max(row[m] for row in means) for m in measures}
    rows = []
    for e, row in zip(evaluations, means, strict=True):
        cells: list[Cell | str] = [e.run]
        for m in measures:
            low, high = comparison.intervals[e.run, m] if comparison and intervals else (None, None)
            cells.append(Cell(row[m], low, high, _marks(comparison, e.run, m), len(means) > 1 and row[m] == best[m]))
        rows.append(cells)
    return Table(["run", *measures], rows, title, conventions(evaluations), _notes(comparison, intervals))


def best_of(measure: AnyMeasure, values: Sequence[float]) -> float | None:
    """The best of several values by the measure's direction, NaN aside; None where all are NaN."""
    defined = [value for value in values if not math.isnan(value)]
    return (max if measure.larger_is_better else min)(defined) if defined else None


def conventions(evaluations: Sequence[Evaluation]) -> str:
    """The header line of a table of several runs; missing queries are told run by run where they differ."""
    lines = {e.run: e.conventions for e in evaluations}
    if len(set(lines.values())) == 1:
        return next(iter(lines.values()))
    shared = [
        part for part in evaluations[0].conventions.split("; ") if all(part in x.split("; ") for x in lines.values())
    ]
    own = [
        f"{run}: " + ", ".join(part for part in line.split("; ") if part not in shared) for run, line in lines.items()
    ]
    return "; ".join([*shared, *own])


def contrasts_table(comparison: Comparison, title: str = "") -> Table:
    """One row per run and measure: difference to the baseline with interval, effect, wins, p-values."""
    rows = [[c.run, c.measure, *_contrast_cells(comparison, c)] for c in comparison.contrasts]
    columns = ["run", "measure", *_contrast_columns(comparison)]
    return Table(columns, rows, title or f"Against {comparison.baseline}")


def long_table(evaluations: Sequence[Evaluation], comparison: Comparison, *, intervals: bool = True) -> Table:
    """Means and contrasts in one table for programs: one row per run and measure; the baseline's contrasts are empty."""
    columns = ["run", "measure", "mean", *_contrast_columns(comparison)]
    rows = []
    for e in evaluations:
        for m, mean in e.means.items():
            low, high = comparison.intervals[e.run, m] if intervals else (None, None)
            rows.append([e.run, m, Cell(mean, low, high), *_contrast_cells(comparison, comparison.contrast(e.run, m))])
    notes = [note for note in _notes(comparison, intervals) if not note.startswith("†")]
    return Table(columns, rows, header=conventions(evaluations), notes=[*notes, f"baseline: {comparison.baseline}"])


def label_table(evaluations: Sequence[LabelEvaluation], title: str = "") -> Table:
    """One row per set of predictions, one column per measure of real-valued labels; the best in bold by direction.

    Args:
        evaluations: of the same labels by the same measures.
        title: above the table.
    """
    rows = []
    for e in evaluations:
        cells: list[Cell | str] = [e.run]
        for text, value in e.means.items():
            others = [other.means[text] for other in evaluations]
            cells.append(Cell(value, best=len(others) > 1 and value == best_of(parse(text), others)))
        rows.append(cells)
    return Table(["run", *evaluations[0].means], rows, title, evaluations[0].conventions)


def per_query_table(evaluations: Sequence[Evaluation]) -> Table:
    """One row per query and run, one column per measure."""
    measures = list(evaluations[0].values)
    rows = [
        [query_id, e.run, *(float(e.values[m][i]) for m in measures)]
        for i, query_id in enumerate(evaluations[0].query_ids)
        for e in evaluations
    ]
    return Table(["query_id", "run", *measures], rows)


def _contrast_columns(comparison: Comparison) -> list[str]:
    tests = [column for t in comparison.tests for column in (f"p {t}", f"p {t} (Holm)")]
    return ["difference", "effect d", "wins", "ties", "losses", *tests] if comparison.contrasts else []


def _contrast_cells(comparison: Comparison, c: Contrast | None) -> list[Cell | int | float | None]:
    if c is None:
        return [None] * len(_contrast_columns(comparison))
    p = [value for t in comparison.tests for value in (c.p[t], c.adjusted[t])]
    return [Cell(c.difference, c.low, c.high), Cell(c.effect, digits=2), c.wins, c.ties, c.losses, *p]


def _marks(comparison: Comparison | None, run: str, measure: str) -> str:
    contrast = comparison.contrast(run, measure) if comparison else None
    return "".join(TESTS[t][0] for t, p in contrast.adjusted.items() if p < ALPHA) if contrast else ""


def _notes(comparison: Comparison | None, intervals: bool) -> list[str]:
    if not comparison:
        return []
    notes = [f"[low, high]: {comparison.level:.0%} bootstrap interval (BCa) over queries"] if intervals else []
    if comparison.contrasts:
        marks = ", ".join(f"{TESTS[t][0]} {TESTS[t][1]}" for t in comparison.tests)
        n = len(comparison.contrasts)
        corrected = f"Holm-corrected over {n} comparisons" if n > 1 else "one comparison"
        notes.append(f"{marks}: differs from {comparison.baseline}, p < {ALPHA:g}, {corrected}")
    return notes
