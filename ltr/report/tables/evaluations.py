"""Tables of measured runs: means with intervals and marks, and the paired comparisons in full."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ltr.metrics.engine import Evaluation
from ltr.metrics.measures.labels import LabelEvaluation
from ltr.metrics.measures.measure import AnyMeasure, parse
from ltr.metrics.statistics.p_values import PermutationTest
from ltr.metrics.statistics.paired import Comparison, Contrast
from ltr.metrics.statistics.permutation import ORDERS
from ltr.metrics.statistics.seeds import SeedContrast
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
    others = {run: [part for part in line.split("; ") if part not in shared] for run, line in lines.items()}
    own = [f"{run}: {', '.join(parts)}" for run, parts in others.items() if parts]
    return "; ".join([*shared, *own])


def contrasts_table(comparison: Comparison, title: str = "") -> Table:
    """One row per run and measure: difference to the baseline with interval, effect, wins, p-values."""
    rows = [[c.run, c.measure, *_contrast_cells(comparison, c)] for c in comparison.contrasts]
    columns = ["run", "measure", *_contrast_columns(comparison)]
    notes = [*interval_notes(comparison), *p_notes(comparison.contrasts)]
    return Table(columns, rows, title or f"Against {comparison.baseline}", notes=notes)


def long_table(evaluations: Sequence[Evaluation], comparison: Comparison, *, intervals: bool = True) -> Table:
    """Means and contrasts in one table for programs: one row per run and measure; the baseline's contrasts are empty."""
    columns = ["run", "measure", "mean", *_contrast_columns(comparison)]
    rows = []
    for e in evaluations:
        for m, mean in e.means.items():
            low, high = comparison.intervals[e.run, m] if intervals else (None, None)
            rows.append([e.run, m, Cell(mean, low, high), *_contrast_cells(comparison, comparison.contrast(e.run, m))])
    notes = _notes(comparison, intervals, marked=False)
    notes += [*p_notes(comparison.contrasts), f"baseline: {comparison.baseline}"]
    return Table(columns, rows, header=conventions(evaluations), notes=notes)


def label_table(evaluations: Sequence[LabelEvaluation], title: str = "") -> Table:
    """One row per set of predictions, one column per measure of real-valued labels; the best in bold by direction.

    Args:
        evaluations: of the same labels; the first by all measures, others (such as ``yardsticks``) by some of them.
        title: above the table.
    """
    rows = []
    for e in evaluations:
        cells: list[Cell | str] = [e.run]
        for text in evaluations[0].means:
            others = [other.means[text] for other in evaluations if text in other.means]
            value = e.means.get(text)
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
    p = [cell for t in comparison.tests for cell in p_cells(c, t)]
    return [Cell(c.difference, c.low, c.high), Cell(c.effect, digits=2), c.wins, c.ties, c.losses, *p]


def p_cells(contrast: Contrast | SeedContrast, test: str) -> list[Cell | float | None]:
    """The p-value of a test and its corrected value, None where there are none; at the least that could be counted with ≤."""
    bound = test in contrast.counted and contrast.counted[test].bound
    values = (contrast.p.get(test), contrast.adjusted.get(test))
    return [Cell(p, bound=True) if p is not None and bound and p < 1 else p for p in values]


def p_notes(contrasts: Sequence[Contrast | SeedContrast]) -> list[str]:
    """What p-values mean: the null hypothesis, how they were counted, the smallest that could come out, what nan is."""
    notes = []
    if counts := [(parse(c.measure), c.counted["fisher"]) for c in contrasts if "fisher" in c.counted]:
        notes += [_hypothesis([measure for measure, _ in counts]), *_counted(counts)]
    if any(math.isnan(p) for c in contrasts for p in c.p.values()):
        notes.append("nan: undefined, such as Student's test of one query or of equal differences; never significant")
    return notes


def _hypothesis(measures: Sequence[AnyMeasure]) -> str:
    pooled = list(dict.fromkeys(m for m in measures if not m.per_query))
    ranks = [str(m) for m in pooled if m.name.partition("_")[0] in ORDERS]
    values = [str(m) for m in pooled if str(m) not in ranks]
    exchanged = [f"predictions ({', '.join(values)})"] if values else []
    exchanged += [f"each seed's pooled ranks ({', '.join(ranks)})"] if ranks else []
    where = f"; of pooled measures on each list, by {' or '.join(exchanged)}" if exchanged else ""
    return f"p fisher: the null hypothesis is that both are exchangeable on each query{where}"


def _counted(counts: Sequence[tuple[AnyMeasure, PermutationTest]]) -> list[str]:
    """How many permutations the p-values were counted over, and so what the least of them can be."""
    groups: dict[int, list[tuple[AnyMeasure, PermutationTest]]] = {}
    for measure, count in counts:
        if count.drawn:
            groups.setdefault(count.most, []).append((measure, count))
    notes = []
    for most, members in sorted(groups.items(), reverse=True):
        drawn = sorted({count.drawn for _, count in members})
        numbers = "" if drawn == [most] else f"{drawn[0]:,} " if len(drawn) == 1 else f"{drawn[0]:,} to {drawn[-1]:,} "
        numbers += f"{'of at most ' if numbers else ''}{most:,}"
        of = f" ({', '.join(dict.fromkeys(str(m) for m, _ in members))})" if len(groups) > 1 else ""
        least = Cell(1 / (1 + most), bound=True)
        after = Cell(min(1.0, len(counts) / (1 + most)), bound=True)
        corrected = f", and the least after Holm's correction {after.shown(4)}" if len(counts) > 1 else ""
        notes.append(
            f"p fisher{of}: (1 + as large) / (1 + drawn), {numbers} random permutations drawn; the least "
            f"p is {least.shown(4)}{corrected}"
        )
    if any(not count.drawn for _, count in counts):
        notes.append("p fisher where few queries (lists) differ: all ways were counted, p is exact")
    return notes


def _marks(comparison: Comparison | None, run: str, measure: str) -> str:
    contrast = comparison.contrast(run, measure) if comparison else None
    return "".join(TESTS[t][0] for t, p in contrast.adjusted.items() if p < ALPHA) if contrast else ""


def _notes(comparison: Comparison | None, intervals: bool, marked: bool = True) -> list[str]:
    if not comparison:
        return []
    notes = interval_notes(comparison) if intervals else []
    if comparison.contrasts and marked:
        marks = ", ".join(f"{TESTS[t][0]} {TESTS[t][1]}" for t in comparison.tests)
        n = len(comparison.contrasts)
        corrected = f"Holm-corrected over {n} comparisons" if n > 1 else "one comparison"
        notes.append(f"{marks}: differs from {comparison.baseline}, p < {ALPHA:g}, {corrected}")
    return notes


def interval_notes(comparison: Comparison) -> list[str]:
    """What the intervals are, or why there are none."""
    if all(math.isnan(low) for low, _ in comparison.intervals.values()):
        return ["no intervals: one query tells nothing about others"]
    return [f"[low, high]: {comparison.level:.0%} bootstrap interval (BCa) over queries"]
