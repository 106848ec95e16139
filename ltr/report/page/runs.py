"""The section of a page that compares runs, and the queries on which they differ most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ltr.io.runs import Run
from ltr.io.trec import Qrels
from ltr.metrics.engine import Evaluation
from ltr.metrics.statistics.contrasts import Contrast
from ltr.metrics.statistics.paired import Comparison
from ltr.report.page.forests import forests_of
from ltr.report.page.page import Forest, Queries, Section
from ltr.report.page.queries import clipped, extremes, notable, rankings
from ltr.report.tables.evaluations import contrasts_table, means_table
from ltr.report.tables.table import Table

#: letters of a query in a table of differences
WIDTH = 60


def runs_section(
    name: str,
    evaluations: Sequence[Evaluation],
    comparison: Comparison,
    runs: Mapping[str, Run],
    qrels: Qrels,
    query_texts: Mapping[str, str] | None = None,
    doc_texts: Callable[[Sequence[str]], Sequence[str]] | None = None,
    depth: int = 5,
) -> Section:
    """Tables, forest plots and the query-level comparison of measured runs.

    Args:
        name: of the data set.
        evaluations: of the runs, on the same queries and measures.
        comparison: of these runs.
        runs: name -> the run, for the documents beside the biggest differences.
        qrels: the judgements, shown as labels.
        query_texts: query id -> text.
        doc_texts: document ids -> their texts, such as ``Collection.texts``.
        depth: documents that are shown of each run.
    """
    values = {m: {e.run: e.values[m] for e in evaluations} for m in evaluations[0].values}
    ids = evaluations[0].query_ids
    bare = Queries(ids, values, query_texts or {}, baseline=comparison.baseline)
    ranked = rankings(notable(bare), runs, qrels, doc_texts, depth)
    return Section(
        name,
        tables=[means_table(evaluations, comparison, "Means"), contrasts_table(comparison)],
        forests=forests(comparison),
        queries=Queries(ids, values, query_texts or {}, ranked, comparison.baseline),
    )


def forests(comparison: Comparison) -> list[Forest]:
    """One forest plot per measure; where several tests were done a difference is marked when all agree."""
    return forests_of(comparison.contrasts, _weakest, comparison.level)


def _weakest(contrast: Contrast) -> float | None:
    """The largest of the tests' corrected p-values, NaN where one is undefined; None without tests."""
    p_values = list(contrast.adjusted.values())
    return float(np.max(p_values)) if p_values else None


def differences_table(
    evaluations: Sequence[Evaluation],
    baseline: str,
    measure: str,
    count: int = 5,
    texts: Mapping[str, str] | None = None,
) -> Table:
    """The queries on which each run gains and loses most against the baseline, one row each.

    Args:
        evaluations: of the runs, the baseline among them.
        baseline: its name.
        measure: on which they are compared.
        count: gains and losses of each run at most.
        texts: query id -> text; a column of its own where given.
    """
    base = next(e for e in evaluations if e.run == baseline)
    rows = []
    for e in evaluations:
        if e is base:
            continue
        ours, theirs = e.values[measure], base.values[measure]
        ordered = sorted(extremes(ours - theirs, count), key=lambda i: (theirs[i] - ours[i], i))
        for i in ordered:
            query = e.query_ids[i]
            text = [clipped(texts.get(query, ""), WIDTH)] if texts else []
            rows.append([e.run, query, *text, float(theirs[i]), float(ours[i]), float(ours[i] - theirs[i])])
    columns = ["run", "query", *(["text"] if texts else []), baseline, "the run", "difference"]
    notes = [] if rows else ["no query differs"]
    return Table(columns, rows, f"Biggest differences in {measure} against {baseline}", notes=notes)
