"""Tables of measured runs: means with intervals and marks, and the paired comparisons in full.

Beside them stand the tables of ``benchmarks``, whose systems have data sets, seeds and costs. What both say of contrasts,
marks and p-values is written once, in ``contrasts``; headings and cells of means differ, and so are made apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ltr.metrics.engine import Evaluation
from ltr.metrics.measures.labels import LabelEvaluation
from ltr.metrics.measures.measure import AnyMeasure, parse
from ltr.metrics.statistics.paired import Comparison
from ltr.report.tables.contrasts import contrast_cells, contrast_columns, marks, p_notes, significance
from ltr.report.tables.table import Cell, Table


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
            signs = marks(comparison.contrast(e.run, m)) if comparison else ""
            cells.append(Cell(row[m], low, high, signs, len(means) > 1 and row[m] == best[m]))
        rows.append(cells)
    return Table(["run", *measures], rows, title, conventions(evaluations), _notes(comparison, intervals))


def best_of(measure: AnyMeasure, values: Sequence[float]) -> float | None:
    """The best of several values by the measure's direction, NaN aside; None where all are NaN."""
    defined = [value for value in values if not math.isnan(value)]
    return (max if measure.larger_is_better else min)(defined) if defined else None


def conventions(evaluations: Sequence[Evaluation | LabelEvaluation]) -> str:
    """The header line of a table of several runs; missing queries are told run by run where they differ."""
    lines = {e.run: e.conventions for e in evaluations}
    if len(set(lines.values())) == 1:
        return next(iter(lines.values()))
    shared = [
        part for part in evaluations[0].conventions.split("; ") if all(part in x.split("; ") for x in lines.values())
    ]
    others = {run: [part for part in line.split("; ") if part not in shared] for run, line in lines.items()}
    own = [f"{run}: {', '.join(parts)}" for run, parts in others.items() if parts]
    return "; ".join([*shared, *own])


def contrasts_table(comparison: Comparison, title: str = "") -> Table:
    """One row per run and measure: difference to the baseline with interval, effect, wins, p-values."""
    rows = [[c.system, str(c.measure), *contrast_cells(c, comparison.tests)] for c in comparison.contrasts]
    columns = ["run", "measure", *contrast_columns(comparison.tests)]
    notes = [*interval_notes(comparison), *p_notes(comparison.contrasts)]
    return Table(columns, rows, title or f"Against {comparison.baseline}", notes=notes)


def long_table(
    evaluations: Sequence[Evaluation | LabelEvaluation], comparison: Comparison, *, intervals: bool = True
) -> Table:
    """Means and contrasts in one table for programs: one row per run and measure; the baseline's contrasts are empty, and
    so are intervals and contrasts of what was not compared, such as ``yardsticks``."""
    figures = contrast_columns(comparison.tests) if comparison.contrasts else []
    rows = []
    for e in evaluations:
        for m, mean in e.means.items():
            low, high = comparison.intervals.get((e.run, m), (None, None)) if intervals else (None, None)
            contrast = comparison.contrast(e.run, m)
            cells = contrast_cells(contrast, comparison.tests) if contrast else [None] * len(figures)
            rows.append([e.run, m, Cell(mean, low, high), *cells])
    notes = _notes(comparison, intervals, marked=False)
    notes += [*p_notes(comparison.contrasts), f"baseline: {comparison.baseline}"]
    columns = ["run", "measure", "mean", *figures]
    return Table(columns, rows, header=conventions(evaluations), notes=notes)


def label_table(
    evaluations: Sequence[LabelEvaluation],
    title: str = "",
    comparison: Comparison | None = None,
    *,
    intervals: bool = True,
) -> Table:
    """One row per set of predictions, one column per measure of real-valued labels; the best in bold by direction.

    Args:
        evaluations: of the same labels; the first by all measures, others (such as ``yardsticks``) by some of them.
        title: above the table.
        comparison: of some of them, from ``ltr.metrics.statistics.paired.compare_labels``: intervals and marks.
        intervals: whether to show the comparison's intervals.
    """
    rows = []
    for e in evaluations:
        cells: list[Cell | str] = [e.run]
        for text in evaluations[0].means:
            others = [other.means[text] for other in evaluations if text in other.means]
            value = e.means.get(text)
            none = (None, None)
            low, high = comparison.intervals.get((e.run, text), none) if comparison and intervals else none
            signs = marks(comparison.contrast(e.run, text)) if comparison else ""
            best = len(others) > 1 and value == best_of(parse(text), others)
            cells.append(Cell(value, low, high, signs, best))
        rows.append(cells)
    notes = _notes(comparison, intervals)
    return Table(["run", *evaluations[0].means], rows, title, evaluations[0].conventions, notes)


def per_query_table(evaluations: Sequence[Evaluation | LabelEvaluation]) -> Table:
    """One row per query and run, one column per measure."""
    measures = list(evaluations[0].values)
    rows = [
        [query_id, e.run, *(float(e.values[m][i]) for m in measures)]
        for i, query_id in enumerate(evaluations[0].query_ids)
        for e in evaluations
    ]
    return Table(["query_id", "run", *measures], rows)


def _notes(comparison: Comparison | None, intervals: bool, marked: bool = True) -> list[str]:
    if not comparison:
        return []
    notes = interval_notes(comparison) if intervals else []
    return [*notes, *(significance(comparison.contrasts) if marked else [])]


def interval_notes(comparison: Comparison) -> list[str]:
    """What the intervals are, or why there are none."""
    if all(math.isnan(low) for low, _ in comparison.intervals.values()):
        return ["no intervals: one query tells nothing about others"]
    pooled = any(not parse(measure).per_query for _, measure in comparison.intervals)
    how = "BCa; pooled measures: lists resampled, percentiles" if pooled else "BCa"
    return [f"[low, high]: {comparison.level:.0%} bootstrap interval ({how}) over queries"]
