"""Writes what a benchmark found: tables in five forms, values per query and seed, and the report page."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ltr.experiments.cells.store import Store
from ltr.experiments.publishing.results import BenchmarkResults, per_query, per_seed, results
from ltr.experiments.publishing.winner import write_commands
from ltr.experiments.spec.plan import Group
from ltr.experiments.spec.spec import Spec
from ltr.io.caching.keys import key_of
from ltr.io.files import replacing
from ltr.report.tables.benchmarks import contrasts_over_seeds, summaries_table, systems_table
from ltr.report.tables.table import Table, together
from ltr.training.run.records import versions


def publish(
    spec: Spec, groups: Sequence[Group], say: Callable[[str], None] = print, notes: Sequence[str] = ()
) -> BenchmarkResults:
    """Measure what is finished, and write tables, values and the page into the benchmark's folder.

    Files: ``results.txt``, ``.md``, ``.tex``, ``.csv`` (one row per system and measure; ``results.notes.txt`` says what
    its columns are), ``.json`` (all figures), ``per_query.parquet``, ``per_seed.csv``, ``report.html``, and what the command of
    each data set's best training on dev, which is told last, needs.

    Args:
        spec: the benchmark.
        groups: with their cells, finished or not.
        say: told the table and where things lie.
        notes: what is to be said of the data, beside what is missing.
    """
    store = Store(spec.folder)
    plain = {g.data_name for g in groups if g.plain and any(cell.finished for cell in g.seeds.values())}
    scored = {g.data_name for g in groups if any(cell.finished for cell in g.seeds.values())}
    truths = {name: truth for name in scored if (truth := store.truth(name, name in plain)) is not None}
    measured = results(spec, groups, {name: truths[name] for name in spec.data if name in truths})
    measured.notes = [*notes, *mixed_versions(groups)]
    tables = tables_of(measured)
    folder = Path(spec.folder)
    for ending, form in (("txt", "text"), ("md", "markdown"), ("tex", "latex")):
        _write(folder / f"results.{ending}", together(tables, form, spec.name))
    summaries = summaries_table([s for one in measured.data for s in one.summaries])
    _write(folder / "results.csv", summaries.csv())
    _write(folder / "results.notes.txt", summaries.about())
    _write(folder / "results.json", json.dumps(figures(measured), indent=1, ensure_ascii=False))
    with replacing(folder / "per_seed.csv") as file:
        per_seed(measured).to_csv(file, index=False)
    values = per_query(measured)
    if len(values):
        with replacing(folder / "per_query.parquet", "wb") as file:
            file.write(values.to_parquet(index=False))
    for table in tables:
        say(f"\n{table.text()}")
    for line in measured.notes:
        say(f"! {line}")
    for line in measured.missing:
        say(f"not finished: {line}")
    for cell, reason in measured.failures:
        say(f"failed: {cell}: {reason.splitlines()[0]}")
    _write(folder / "report.html", _page(measured))
    say(f"\nresults      {folder}/results.txt (.md, .tex, .csv, .json, .notes.txt), per_query.parquet, per_seed.csv")
    say(f"report       {folder / 'report.html'}")
    for words in write_commands(spec, groups):
        say(f"next         {shlex.join(words)}")
    return measured


#: packages on which what a cell gives depends
TRAINED_BY = ("ltr", "torch", "transformers")


def mixed_versions(groups: Sequence[Group]) -> list[str]:
    """What is to be said of cells that other versions made than those beside them, a line for each data set."""
    told = []
    for name in dict.fromkeys(group.data_name for group in groups):
        cells = [cell for group in groups if group.data_name == name for cell in group.cells if cell.finished]
        made: Counter[str] = Counter()
        for versions_then in (cell.record.get("versions") or {} for cell in cells):
            made[", ".join(f"{package} {versions_then.get(package, 'unknown')}" for package in TRAINED_BY)] += 1
        if len(made) > 1:
            parts = "; ".join(f"{count} by {versions_then}" for versions_then, count in made.items())
            told.append(
                f"{name}: its finished cells were made by different versions ({parts}), so that losses may differ by more than "
                "themselves: remove the older cells to measure them anew, or take another folder (--folder NAME)"
            )
    return told


def tables_of(results: BenchmarkResults) -> list[Table]:
    """The table of each data set, then all contrasts."""
    costs = results.cost_cells()
    tables = [
        systems_table(one.summaries, results.contrasts, costs, one.name, one.conventions)
        for one in results.data
        if one.summaries
    ]
    return [*tables, *([contrasts_over_seeds(results.contrasts)] if results.contrasts else [])]


def signature(results: BenchmarkResults) -> str:
    """The line by which one sees whether two tables can be compared: data, spec, versions."""
    data = ", ".join(f"{one.name} {one.truth.signature}" for one in results.data)
    spec = key_of(results.spec.yaml(folder=False))
    kept = versions()
    packages = ", ".join(f"{name} {kept[name]}" for name in ("ltr", "torch", "transformers", "ranx", "python"))
    return f"data: {data}; spec: {spec}; {packages}"


def figures(results: BenchmarkResults) -> dict[str, Any]:
    """All figures as plain values."""
    chosen = [
        {
            "data": one.name,
            "system": system.name,
            "loss": next(iter(system.group.seeds.values())).record.get("loss"),
            "params": system.group.chosen,
            "dev": {f"trial-{i}": cell.value for i, cell in system.group.trials.items()},
        }
        for one in results.data
        for system in one.systems
        if system.group is not None
    ]
    tables = {
        "summaries": summaries_table([s for one in results.data for s in one.summaries]),
        "contrasts": contrasts_over_seeds(results.contrasts),
    }
    return {
        "name": results.spec.name,
        "signature": signature(results),
        "versions": versions(),
        "conventions": {one.name: one.conventions for one in results.data},
        **{name: table.content() for name, table in tables.items()},
        "costs": [{"data": d, "system": s, **values} for (d, s), values in results.costs().items()],
        "chosen": chosen,
        "notes": results.notes,
        "missing": results.missing,
        "failures": [list(pair) for pair in results.failures],
    }


def _page(results: BenchmarkResults) -> str:
    from ltr.experiments.publishing.paging import page_of
    from ltr.report.page.html import render

    return render(page_of(results, signature(results)))


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text + "\n")
