"""``ltr compare``: runs query by query, in the terminal or as a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ltr import __version__
from ltr.cli.command import at_least, check_outputs
from ltr.cli.command import run as run_command
from ltr.cli.judged import baseline_of, inputs_of, judgements, names_of, read
from ltr.errors import ConfigError
from ltr.io.caching.keys import key_of_parts

if TYPE_CHECKING:
    from ltr.data.collections.collection import Collection
    from ltr.io.trec import Qrels, Run
    from ltr.metrics.engine import Evaluation
    from ltr.metrics.statistics.paired import Comparison


def compare(
    runs: list[str],
    /,
    qrels: str | None = None,
    dataset: str | None = None,
    measures: list[str] = ["ndcg@10", "mrr@10", "map", "recall@100"],  # noqa: B006 (never changed; shown in --help)
    baseline: str | None = None,
    html: str | None = None,
    test: list[Literal["student", "fisher"]] = ["student"],  # noqa: B006
    differences: int = 5,
    depth: int = 5,
    seed: int = 0,
) -> None:
    """Compare two or more runs, down to the queries on which they differ most.

    Prints the tables of ltr evaluate and the queries with the biggest gains and losses on the first measure; with
    --html writes a page instead: tables, forest plots, and every query of any two runs to look at, for a data set with
    the texts of queries and documents. The page is one file that needs no network.

    Examples:
      ltr compare bm25.run ours.run --qrels qrels.trec -m ndcg@10 mrr
      ltr compare bm25.run ours.run --dataset pydocs/dev --html compared.html

    Args:
        runs: TREC run files (.gz too), two or more.
        qrels: judgements in TREC form (.gz too).
        dataset: take judgements and texts of this data set (an ir-datasets id, a folder, pydocs) instead of --qrels.
        measures: what to measure; the biggest differences are those of the first.
        baseline: the run to compare with, by file or name; the first by default.
        html: write a page to this file.
        test: paired tests.
        differences: how many gains and losses of each run are printed.
        depth: how many documents of each run the page shows below a query.
        seed: of bootstrap and randomisation.
    """
    from ltr.metrics.engine import evaluate
    from ltr.metrics.measures.measure import of_rankings
    from ltr.metrics.statistics.paired import compare as compared

    chosen = of_rankings(measures)  # a wrong name must not wait for files to be read
    _check(runs)
    at_least(1, differences=differences, depth=depth)
    at_least(0, seed=seed)
    check_outputs({"--html": html}, [*runs, qrels, *inputs_of(dataset)])
    if html is not None:
        from ltr.report.charts.style import drawing

        with drawing():  # what is not installed must not be missed at the end
            pass
    names = names_of(runs, "ltr compare")
    judged, collection = judgements(qrels, dataset)
    by_name = {names[path]: read(path, names[path]) for path in runs}
    evaluations = [evaluate(run, judged, chosen) for run in by_name.values()]
    comparison = compared(evaluations, baseline_of(baseline, names), test, seed=seed)
    if html is None:
        print(_text(evaluations, comparison, collection, differences))
        return
    settings = {
        "runs": {name: path for path, name in names.items()},
        **({"qrels": qrels} if qrels else {"dataset": dataset}),
        "measures": [str(measure) for measure in chosen],
        "baseline": comparison.baseline,
        "tests": list(comparison.tests),
        "seed": seed,
    }
    _write_page(html, evaluations, comparison, by_name, judged, collection, settings, depth)


def _check(runs: list[str]) -> None:
    if len(runs) < 2:
        raise ConfigError(
            f"two or more runs are compared, got one: {runs[0]}; ltr evaluate --run {runs[0]} measures one alone"
        )


def _text(
    evaluations: list[Evaluation], comparison: Comparison, collection: Collection | None, differences: int
) -> str:
    from ltr.report.page.runs import differences_table
    from ltr.report.tables.evaluations import contrasts_table, means_table

    measure = next(iter(evaluations[0].values))
    texts = collection.queries if collection else None
    biggest = differences_table(evaluations, comparison.baseline, measure, differences, texts)
    tables = [means_table(evaluations, comparison), contrasts_table(comparison), biggest]
    return "\n\n".join(table.text() for table in tables)


def _write_page(
    path: str,
    evaluations: list[Evaluation],
    comparison: Comparison,
    runs: dict[str, Run],
    qrels: Qrels,
    collection: Collection | None,
    settings: dict[str, Any],
    depth: int,
) -> None:
    import yaml

    from ltr.io.files import replacing
    from ltr.report.page.html import render
    from ltr.report.page.page import Page
    from ltr.report.page.runs import runs_section
    from ltr.report.tables.evaluations import conventions

    name = collection.name if collection else settings["qrels"]
    name = Path(name).name if Path(name).is_absolute() else name  # where it lies stands in the configuration
    queries, docs = (collection.queries, collection.texts) if collection else (None, None)
    section = runs_section(name, evaluations, comparison, runs, qrels, queries, docs, depth)
    others = [run for run in runs if run != comparison.baseline]
    page = Page(
        f"{', '.join(others)} against {comparison.baseline}",
        f"{len(runs)} runs on {len(qrels)} judged queries of {name}, each measured query by query and compared with "
        f"`{comparison.baseline}` by paired tests.",
        _signature(qrels, collection, conventions(evaluations)),
        [section],
        configuration=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
    )
    text = render(page)
    with replacing(path) as file:
        file.write(text)
    print(f"page: {path}", file=sys.stderr)


def _signature(qrels: Qrels, collection: Collection | None, conventions: str) -> str:
    """What two tables must share to be comparable: the data, the tools that measured, how they measured."""
    if collection:
        data = f"data {collection.signature}"
    else:
        lines = sorted(f"{q}\0{d}\0{grade}" for q, docs in qrels.items() for d, grade in docs.items())
        data = f"judgements {key_of_parts(chr(10).join(lines))}"
    return f"{data}; ltr {__version__}; {conventions}"


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr compare``."""
    run_command(compare, argv, prog="ltr compare", short={"measures": "-m"})
