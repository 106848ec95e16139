"""``ltr evaluate``: measure runs against judgements and compare them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ltr.cli.command import at_least, check_outputs
from ltr.cli.command import run as run_command
from ltr.cli.judged import baseline_of, inputs_of, judgements, names_of, read

if TYPE_CHECKING:
    from ltr.metrics.engine import Evaluation
    from ltr.metrics.statistics.paired import Comparison


def evaluate(
    run: list[str],
    qrels: str | None = None,
    dataset: str | None = None,
    measures: list[str] = ["ndcg@10", "mrr@10", "map", "recall@100"],  # noqa: B006 (never changed; shown in --help)
    baseline: str | None = None,
    test: list[Literal["student", "fisher"]] = ["student"],  # noqa: B006
    intervals: bool = True,
    per_query: str | None = None,
    format: Literal["text", "markdown", "csv", "json", "latex"] = "text",
    output: str | None = None,
    seed: int = 0,
) -> None:
    """Measure runs against judgements.

    Several runs are compared with the first of them (or --baseline) by paired tests, Holm-corrected over the whole
    table, with bootstrap intervals. Conventions are trec_eval's, and stand above each table.

    Measures: ndcg ndcg_burges (gain 2^grade - 1) dcg dcg_burges mrr map recall precision f1 hits hit_rate, each with
    or without @cutoff; r-precision, bpref, rbp.95 (persistence). precision-l2@5 counts grades from 2 as relevant.

    Example: ltr evaluate --run bm25.trec ours.trec --qrels qrels.trec -m ndcg@10 rbp.95 --test student fisher

    Args:
        run: TREC run files (.gz too).
        qrels: judgements in TREC form (.gz too).
        dataset: take the judgements of this data set (an ir-datasets id, a folder, pydocs) instead of --qrels.
        measures: what to measure.
        baseline: the run to compare with, by file or name; the first by default.
        test: paired tests.
        intervals: show 95 % bootstrap intervals of the means.
        per_query: write one row per query and run to this CSV file.
        format: of the tables; csv and json hold full precision.
        output: write the tables to this file instead of the terminal.
        seed: of bootstrap and randomisation.
    """
    from ltr.metrics.engine import evaluate as measured
    from ltr.metrics.measures.measure import of_rankings
    from ltr.metrics.statistics.paired import compare

    chosen = of_rankings(measures)  # a wrong name must not wait for files to be read
    at_least(0, seed=seed)
    check_outputs({"--output": output, "--per-query": per_query}, [*run, qrels, *inputs_of(dataset)])
    judged, _ = judgements(qrels, dataset)
    names = names_of(run, "--run")
    evaluations = []
    for path in run:
        evaluations.append(measured(read(path, names[path]), judged, chosen))
    comparison = compare(evaluations, baseline_of(baseline, names), test, seed=seed)
    text = _rendered(evaluations, comparison, format, intervals)
    if per_query:
        _write(per_query, _per_query(evaluations))
        print(f"per-query values: {per_query}", file=sys.stderr)
    if output:
        _write(output, text)
        print(f"tables: {output}", file=sys.stderr)
    else:
        print(text)


def _rendered(evaluations: list[Evaluation], comparison: Comparison, format: str, intervals: bool) -> str:
    from ltr.report.tables.evaluations import contrasts_table, long_table, means_table

    if format in ("csv", "json"):
        return long_table(evaluations, comparison, intervals=intervals).render(format)
    tables = [means_table(evaluations, comparison, intervals=intervals)]
    if comparison.contrasts:
        tables.append(contrasts_table(comparison))
    return "\n\n".join(table.render(format) for table in tables)


def _per_query(evaluations: list[Evaluation]) -> str:
    from ltr.report.tables.evaluations import per_query_table

    return per_query_table(evaluations).csv()


def _write(path: str, text: str) -> None:
    from ltr.io.files import replacing

    with replacing(path) as file:
        file.write(text + "\n")


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr evaluate``."""
    run_command(evaluate, argv, prog="ltr evaluate", short={"measures": "-m", "run": "-r", "output": "-o"})
