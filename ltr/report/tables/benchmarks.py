"""Tables of systems over seeds: means with two separate spreads, costs, and contrasts with the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ltr.metrics.measures.measure import AnyMeasure, Measure
from ltr.metrics.statistics.contrasts import Contrast
from ltr.metrics.statistics.seeds import Summary
from ltr.report.tables.contrasts import contrast_cells, contrast_columns, marks, p_notes, significance
from ltr.report.tables.evaluations import best_of
from ltr.report.tables.table import Cell, Table

#: (name of the data set, name of the system)
Place = tuple[str, str]


def systems_table(
    summaries: Sequence[Summary],
    contrasts: Sequence[Contrast] = (),
    costs: Mapping[Place, Mapping[str, float | Cell]] | None = None,
    title: str = "",
    header: str = "",
) -> Table:
    """One row per system (and data set), one column per measure: mean [interval over queries] ± spread over seeds.

    Args:
        summaries: of all systems; a system without a measure has an empty cell.
        contrasts: from ``corrected``, all of them: a mark says that a system differs from the baseline.
        costs: (data set, system) -> heading -> value, such as seconds and peak memory; columns behind the measures.
        title: above the table.
        header: the conventions of the measures, from ``Evaluation.conventions`` and ``LabelEvaluation.conventions``.
    """
    measures = {str(s.measure): s.measure for s in summaries}
    by_place = {(s.data, s.system, str(s.measure)): s for s in summaries}
    places = list(dict.fromkeys((s.data, s.system) for s in summaries))
    differing = {(c.data, c.system, str(c.measure)): c for c in contrasts}
    headings = list(dict.fromkeys(name for place in places for name in (costs or {}).get(place, {})))
    several = len({data for data, _ in places}) > 1
    rows = []
    for data, system in places:
        cells: list[Any] = [data, system] if several else [system]
        for text, measure in measures.items():
            s = by_place.get((data, system, text))
            others = [o.mean for o in summaries if (o.data, str(o.measure)) == (data, text)]
            best = s is not None and len(others) > 1 and s.mean == best_of(measure, others)
            cells.append(_cell(s, best, marks(differing.get((data, system, text)))))
        cells += [(costs or {}).get((data, system), {}).get(name) for name in headings]
        rows.append(cells)
    columns = [*(["data"] if several else []), "system", *measures, *headings]
    return Table(columns, rows, title, header, _notes(summaries, contrasts))


def contrasts_over_seeds(contrasts: Sequence[Contrast], title: str = "") -> Table:
    """One row per contrast: difference with interval, effect, wins, the smallest detectable difference, p-values.

    Args:
        contrasts: from ``corrected``.
        title: above the table; default: the baseline's name.
    """
    tests = list(dict.fromkeys(t for c in contrasts for t in c.p))
    several = len({c.data for c in contrasts}) > 1
    rows = [
        [
            *([c.data] if several else []),
            c.system,
            str(c.measure),
            *contrast_cells(c, tests, detectable=True, marked=True),
        ]
        for c in contrasts
    ]
    columns = [*(["data"] if several else []), "system", "measure", *contrast_columns(tests, detectable=True)]
    notes = [
        "difference [low, high]: of the means over seeds, bootstrap interval over queries",
        "detectable: smallest true difference that a test on these queries finds with 80 % power at 5 % (two-sided)",
        *significance(contrasts),
        *_directions({str(c.measure): c.measure for c in contrasts}.values()),
    ]
    notes += p_notes(contrasts)
    if any(c.wins is None for c in contrasts):
        notes.append("wins, ties, losses: of queries; measures that pool the documents of all lists have none")
    baselines = dict.fromkeys(c.baseline for c in contrasts)
    return Table(columns, rows, title or f"Against {', '.join(baselines)}", notes=notes)


def summaries_table(summaries: Sequence[Summary], title: str = "") -> Table:
    """Every figure in a column of its own, one row per system and measure: for programs."""
    rows = [
        [
            *(s.data, s.system, str(s.measure), s.mean, s.low, s.high),
            *(s.seed_sd, s.seed_min, s.seed_max, s.seed_low, s.seed_high, s.n_seeds, s.n_queries),
        ]
        for s in summaries
    ]
    columns = ["data", "system", "measure", "mean", "low", "high", "seed sd", "seed min", "seed max", "seed low"]
    return Table([*columns, "seed high", "seeds", "queries"], rows, title, notes=_notes(summaries, ()))


def _cell(s: Summary | None, best: bool, signs: str) -> Cell:
    if s is None:
        return Cell(None)
    spread = None if math.isnan(s.seed_sd) else s.seed_sd
    return Cell(s.mean, s.low, s.high, signs, best, spread=spread)


def _notes(summaries: Sequence[Summary], contrasts: Sequence[Contrast]) -> list[str]:
    notes = []
    for level in dict.fromkeys(s.level for s in summaries):
        pooled = any(not s.measure.per_query for s in summaries)
        how = "BCa; pooled measures: lists resampled, percentiles" if pooled else "BCa"
        notes.append(f"[low, high]: {level:.0%} bootstrap interval ({how}) over queries, of the mean over seeds")
    if any(s.n_queries == 1 for s in summaries):
        notes.append("no interval of one query, which tells nothing about others")
    seeds = sorted({s.n_seeds for s in summaries if s.n_seeds > 1})
    if seeds:
        counts = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        notes.append(f"±: standard deviation over {counts} seeds of the mean over queries")
    return [*notes, *significance(contrasts), *_directions({str(s.measure): s.measure for s in summaries}.values())]


def _directions(measures: Iterable[AnyMeasure]) -> list[str]:
    smaller = [str(m) for m in measures if not isinstance(m, Measure) and not m.larger_is_better]
    return [f"smaller is better: {', '.join(smaller)}"] if smaller else []
