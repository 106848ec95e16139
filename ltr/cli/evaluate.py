"""``ltr evaluate``: measure runs against judgements and compare them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ltr.cli.command import run as run_command
from ltr.errors import ConfigError

if TYPE_CHECKING:
    from ltr.io.trec import Qrels, Run
    from ltr.metrics.compare import Comparison
    from ltr.metrics.engine import Evaluation


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
    from ltr.metrics.compare import compare
    from ltr.metrics.engine import evaluate as measured
    from ltr.metrics.measure import of_rankings

    chosen = of_rankings(measures)  # a wrong name must not wait for files to be read
    judgements = _judgements(qrels, dataset)
    names = _names(run)
    evaluations = []
    for path in run:
        evaluations.append(measured(_read(path, names[path]), judgements, chosen))
    comparison = compare(evaluations, _baseline(baseline, names), test, seed=seed)
    text = _rendered(evaluations, comparison, format, intervals)
    if per_query:
        _write(per_query, _per_query(evaluations))
        print(f"per-query values: {per_query}", file=sys.stderr)
    if output:
        _write(output, text)
        print(f"tables: {output}", file=sys.stderr)
    else:
        print(text)


def _judgements(qrels: str | None, dataset: str | None) -> Qrels:
    if qrels is not None and dataset is None:
        from ltr.io.trec import read_qrels

        return read_qrels(qrels)
    if dataset is not None and qrels is None:
        from ltr.data.collection import load

        return load(dataset).qrels
    got = "both" if qrels else "neither"
    raise ConfigError(f"give the judgements by --qrels FILE or by --dataset NAME, one of them; got {got}")


def _names(paths: Sequence[str]) -> dict[str, str]:
    """File -> name: its stem, with as many folders before it as it takes to tell files apart."""
    from ltr.io.trec import stem

    if len(set(paths)) < len(paths):
        raise ConfigError(f"--run lists a file twice: {' '.join(paths)}")
    folders = {path: Path(path).absolute().parent.parts for path in paths}
    for depth in range(max(map(len, folders.values())) + 1):
        names = {p: "/".join([*folders[p][len(folders[p]) - depth :], stem(p)]) for p in paths}
        if len(set(names.values())) == len(paths):
            return names
    return {path: path for path in paths}  # a.trec beside a.run


def _baseline(wanted: str | None, names: dict[str, str]) -> str | None:
    return names.get(wanted, wanted) if wanted is not None else None


def _read(path: str, name: str) -> Run:
    from ltr.io.trec import read_run

    return read_run(path, name)


def _rendered(evaluations: list[Evaluation], comparison: Comparison, format: str, intervals: bool) -> str:
    from ltr.report.results import contrasts_table, long_table, means_table

    if format in ("csv", "json"):
        return long_table(evaluations, comparison, intervals=intervals).render(format)
    tables = [means_table(evaluations, comparison, intervals=intervals)]
    if comparison.contrasts:
        tables.append(contrasts_table(comparison))
    return "\n\n".join(table.render(format) for table in tables)


def _per_query(evaluations: list[Evaluation]) -> str:
    from ltr.report.results import per_query_table

    return per_query_table(evaluations).csv()


def _write(path: str, text: str) -> None:
    from ltr.io.files import replacing

    with replacing(path) as file:
        file.write(text + "\n")


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr evaluate``."""
    run_command(evaluate, argv, prog="ltr evaluate", short={"measures": "-m", "run": "-r", "output": "-o"})
