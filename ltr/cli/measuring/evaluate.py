"""``ltr evaluate``: measure runs against judgements and compare them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ltr.cli.command import at_least, check_outputs, talk
from ltr.cli.command import run as run_command
from ltr.cli.judged import RANKINGS, baseline_of, inputs_of, judgements, names_of, read
from ltr.errors import ConfigError

if TYPE_CHECKING:
    from ltr.cli.measuring.models import Measured
    from ltr.metrics.engine import Evaluation
    from ltr.metrics.statistics.paired import Comparison
    from ltr.report.tables.table import Table

#: formats for programs, which hold one table
ROWS = ("csv", "json")


def evaluate(
    run: list[str] | None = None,
    model: list[str] | None = None,
    qrels: str | None = None,
    dataset: str | None = None,
    measures: list[str] = RANKINGS,
    baseline: str | None = None,
    test: list[Literal["student", "fisher"]] = ["student"],  # noqa: B006
    intervals: bool = True,
    per_query: str | None = None,
    format: Literal["text", "markdown", "csv", "json", "latex"] = "text",
    output: str | None = None,
    digits: int = 4,
    seed: int = 0,
    preferences: str | None = None,
    label: str | None = None,
    gain: str | None = None,
    list_id: str | None = None,
    item_id: str | None = None,
    device: str = "auto",
    allow: list[str] | None = None,
) -> None:
    """Measure runs against judgements, or scorers on features (--model) against the labels of a file.

    Several runs are compared with the first of them (or --baseline) by paired tests, Holm-corrected over the whole
    table, with bootstrap intervals. Conventions are trec_eval's, and stand above each table.

    Measures: ndcg ndcg_burges (gain 2^grade - 1) dcg dcg_burges mrr map recall precision f1 hits hit_rate, each with
    or without @cutoff; r-precision, bpref, rbp.95 (persistence). precision-l2@5 counts grades from 2 as relevant.

    Of real-valued labels, such as seconds (--model): rmse mae r2 spearman kendall precision_top.1 ndcg_label@10, and of the
    top fifth of the labels and the rest: rmse_top.2 rmse_rest.2 ... Beside the models stand a constant and a random order.

    Examples:
      ltr evaluate --run bm25.trec ours.trec --qrels qrels.trec -m ndcg@10 rbp.95 --test student fisher
      ltr evaluate --model runs/log/best --dataset new.csv -m rmse_top.2 ndcg_label@10

    Args:
        run: TREC run files (.gz too).
        model: folders of scorers on features, such as runs/log/best, instead of runs; they score --dataset. Or of reward
            models and policies, which score --preferences.
        qrels: judgements in TREC form (.gz too).
        dataset: take the judgements of this data set (an ir-datasets id, a folder, pydocs) instead of --qrels; with --model
            the labelled file (.csv, .tsv, .parquet, SVMlight), or a share such as log.csv[80%:].
        measures: what to measure.
        baseline: the run (model) to compare with, by file or name; the first by default.
        test: paired tests.
        intervals: show 95 % bootstrap intervals of the means.
        per_query: write one row per query and run to this CSV file.
        format: of the tables; csv and json hold full precision; what csv's columns are stands in a second file (table.notes.txt) or
            on standard error.
        output: write the tables to this file instead of the terminal.
        digits: after the point in text, markdown and latex.
        seed: of bootstrap and randomisation.
        preferences: measure scores of responses against this file (JSON lines, Parquet) instead of judgements: right pairs,
            best of n, correlation with length, beside a random order and the longest first.
        label: of its responses (default: score, rating, label or votes); with --model the column of the labels (default:
            as in training).
        gain: what best-of-n measures report of a response, such as its rate of wins (default: the label).
        list_id: with --model, the column of the list (default: as in training).
        item_id: with --model, the column of the document (default: as in training).
        device: with --model: auto, cpu, cuda, cuda:1 ...
        allow: with --model: packages, or classes by their import paths, that a model may name as its scorer.
    """
    from ltr.data.collections.shares import unsliced
    from ltr.metrics.engine import evaluate as measured
    from ltr.metrics.measures.measure import of_rankings
    from ltr.metrics.statistics.paired import compare

    at_least(0, seed=seed, digits=digits)
    notes = _notes_file(output, format)
    outputs = {"--output": output, "--per-query": per_query, "the notes of --output": notes}
    if preferences is not None and (run is None) == (model is None):
        raise ConfigError("--preferences measures runs (--run) or models of responses (--model); give one of the two")
    if model is not None and preferences is None:
        if run is not None or qrels is not None or gain is not None or dataset is None:
            raise ConfigError(
                "--model scores a labelled file: give it by --dataset, without --run, --qrels or --gain; responses by --preferences"
            )
        columns = {"list_id": list_id, "item_id": item_id, "label": label}
        chosen_labels = None if measures == RANKINGS else measures
        check_outputs(outputs, [*model, unsliced(dataset)])
        found = _models(model, dataset, chosen_labels, columns, baseline, test, seed, intervals, device, allow or ())
        if per_query:
            _write(per_query, found.per_list().csv())
            print(f"per-query values: {per_query}", file=sys.stderr)
        _show([found.whole(intervals)] if format in ROWS else found.tables(intervals), format, digits, output, notes)
        return
    if preferences is None and run is None:
        raise ConfigError("give what to measure: runs by --run FILE ..., or scorers on features by --model FOLDER ...")
    if list_id or item_id:
        raise ConfigError(
            "--list-id and --item-id say how --model reads its file of features; give models, or leave them out"
        )
    if preferences is not None:
        other = qrels or dataset or per_query or baseline
        check_outputs(outputs, [*(run or []), *(model or []), preferences])
        asked = measures if measures != RANKINGS else None
        tables = _preferences(run, model, preferences, asked, label, gain, format in ROWS, other, device, allow or ())
        _show(tables, format, digits, output, notes)
        return
    assert run is not None
    if label or gain:
        raise ConfigError("--label and --gain are names in a file of preferences; give it by --preferences")
    chosen = of_rankings(measures)  # a wrong name must not wait for files to be read
    check_outputs(outputs, [*run, qrels, *inputs_of(dataset)])
    judged, _ = judgements(qrels, dataset)
    names = names_of(run, "--run")
    evaluations = []
    for path in run:
        evaluations.append(measured(read(path, names[path]), judged, chosen))
    comparison = compare(evaluations, baseline_of(baseline, names), test, seed=seed)
    if per_query:
        _write(per_query, _per_query(evaluations))
        print(f"per-query values: {per_query}", file=sys.stderr)
    _show(_tables(evaluations, comparison, format in ROWS, intervals), format, digits, output, notes)


def _notes_file(output: str | None, format: str) -> str | None:
    """The file of a CSV table's notes, beside it: ``table.notes.txt``; None where they go to standard error."""
    from ltr.io.streams import is_stream

    if format != "csv" or output is None or is_stream(output):
        return None
    return str(Path(output).with_suffix(".notes.txt"))


def _models(
    model: list[str],
    dataset: str,
    texts: list[str] | None,
    columns: Mapping[str, str | None],
    baseline: str | None,
    test: Sequence[Literal["student", "fisher"]],
    seed: int,
    intervals: bool,
    device: str,
    allow: Sequence[str],
) -> Measured:
    from ltr.metrics.measures.measure import measures

    chosen = None if texts is None else measures(texts)  # a wrong name must not wait for torch
    names = names_of(model, "--model")
    from ltr.cli.measuring.models import measured, rankers_of, reading_of

    talk()
    rankers = rankers_of(names, device, allow)
    reading = reading_of(rankers, columns)
    return measured(rankers, dataset, chosen, reading, baseline_of(baseline, names), test, seed, intervals)


def _preferences(
    run: list[str] | None,
    model: list[str] | None,
    path: str,
    chosen: list[str] | None,
    label: str | None,
    gain: str | None,
    whole: bool,
    other: str | None,
    device: str,
    allow: Sequence[str],
) -> list[Table]:
    if other:
        raise ConfigError("--preferences stands alone: leave out --qrels, --dataset, --per-query and --baseline")
    from ltr.cli.preferences import MEASURES, measured, scored

    if run is not None:
        names = names_of(run, "--run")
        runs = {names[file]: read(file, names[file]) for file in run}
    else:
        talk()
        runs = scored(names_of(model or [], "--model"), path, label, gain, device, allow)
    return measured(runs, path, chosen or MEASURES, label, gain, whole)


def _tables(evaluations: list[Evaluation], comparison: Comparison, whole: bool, intervals: bool) -> list[Table]:
    from ltr.report.tables.evaluations import contrasts_table, long_table, means_table

    if whole:
        return [long_table(evaluations, comparison, intervals=intervals)]
    tables = [means_table(evaluations, comparison, intervals=intervals)]
    return [*tables, contrasts_table(comparison)] if comparison.contrasts else tables


def _show(tables: list[Table], format: str, digits: int, output: str | None, notes: str | None) -> None:
    """Writes tables to the output or the terminal, and what CSV has no room for beside them or to standard error."""
    from ltr.report.tables.table import together

    text = together([replace(table, digits=digits) for table in tables], format)
    if output:
        _write(output, text)
        print(f"tables: {output}", file=sys.stderr)
    else:
        print(text)
    if format != "csv":
        return
    about = "\n\n".join(table.about() for table in tables)
    if notes:
        _write(notes, about)
        print(f"notes: {notes}", file=sys.stderr)
    else:
        print(about, file=sys.stderr)


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
