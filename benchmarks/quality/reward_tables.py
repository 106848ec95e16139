"""Tables beside those of a benchmark of reward models: calibration of pairs, and every loss against the longest response.

    LTR_DATA=FOLDER python -m benchmarks.quality.reward_tables configs/benchmarks/rewards.yaml
    LTR_DATA=FOLDER python -m benchmarks.quality.reward_tables configs/benchmarks/rewards-tuned.yaml --beside benchmarks/results/rewards

Reads what ``ltr benchmark`` has finished and trains nothing. ``calibration.csv``: over the pairs of all test prompts, mean and
standard deviation over seeds of the expected calibration error of σ(difference), and of how well near scores tell ties.
``longest.csv``: differences from the order by length, prompt by prompt, with Holm's correction over the whole table.
``beside.csv``: likewise from the losses of the same name in another benchmark of the same test prompts, as it was published.
``base.csv``: likewise from one of the benchmark's own losses that is not its baseline.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastparquet
import numpy as np

from ltr.experiments.cells.runner import reported
from ltr.experiments.cells.store import Store
from ltr.experiments.publishing.results import DataResults, results
from ltr.experiments.spec.reading import read_spec
from ltr.io.files import replacing
from ltr.metrics.measures.measure import parse
from ltr.metrics.measures.preferences import calibration_error, tie_auc
from ltr.metrics.measures.yardsticks import LONGEST, yardsticks
from ltr.metrics.statistics.contrasts import Contrast, contrast, corrected
from ltr.metrics.statistics.samples import PerQuery

#: what tells how good a reward model is, prompt by prompt
AGAINST = ("pair_accuracy", "best_of@10")


def calibration(one: DataResults) -> list[dict[str, Any]]:
    """A row for each system and figure of pairs; figures that are not defined (no ties) are left out."""
    rows = []
    for system in one.systems:
        for name, measure in (("calibration_error", calibration_error), ("tie_auc", tie_auc)):
            values = np.array([measure(scores, one.truth.labels, one.truth.offsets) for scores in system.scores])
            if np.isfinite(values).all():
                sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
                rows.append(
                    {
                        "data": one.name, "system": system.name, "measure": name, "mean": float(values.mean()), "seed sd": sd,
                        "seeds": len(values),
                    }
                )  # fmt: skip
    return rows


def against_longest(found: Sequence[DataResults]) -> list[dict[str, Any]]:
    """A row for each system and measure."""
    contrasts = []
    for one in found:
        measures = [parse(text) for text in AGAINST]
        longest = next(e for e in yardsticks(one.truth, measures) if e.run == LONGEST)  # type: ignore[arg-type]
        for system in one.systems:
            for sampled in one.samples[system.name]:
                if isinstance(sampled, PerQuery) and str(sampled.measure) in AGAINST:
                    base = PerQuery.of(LONGEST, sampled.measure, [longest], one.name)  # type: ignore[arg-type]
                    contrasts.append(contrast(sampled, base))
    return _rows(contrasts)


def against_others(found: Sequence[DataResults], folder: Path) -> list[dict[str, Any]]:
    """A row for each system and measure that a published benchmark has too.

    Raises:
        SystemExit: the benchmarks share no loss, data set and test prompts.
    """
    known = fastparquet.ParquetFile(io.BytesIO((folder / "per_query.parquet").read_bytes())).to_pandas()
    contrasts = []
    for one in found:
        for system in one.systems:
            theirs = known[(known["data"] == one.name) & (known["system"] == system.name)]
            for sampled in one.samples[system.name]:
                measure = str(sampled.measure)
                if not isinstance(sampled, PerQuery) or measure not in AGAINST or not len(theirs):
                    continue
                values = theirs.pivot(index="seed", columns="query_id", values=measure)
                if set(values) == set(sampled.query_ids):
                    ordered = values[sampled.query_ids].to_numpy()
                    contrasts.append(
                        contrast(sampled, PerQuery("beside", measure, ordered, sampled.query_ids, one.name))
                    )
    if not contrasts:
        raise SystemExit(f"reward_tables: {folder} has no loss of a name of these, on the same data and test prompts")
    return _rows(contrasts)


def against_own(found: Sequence[DataResults], base: str) -> list[dict[str, Any]]:
    """A row for each other system and measure.

    Raises:
        SystemExit: there is no such system.
    """
    contrasts = []
    for one in found:
        told = {
            (system.name, str(sampled.measure)): sampled
            for system in one.systems for sampled in one.samples[system.name]
            if isinstance(sampled, PerQuery) and str(sampled.measure) in AGAINST
        }  # fmt: skip
        if (base, AGAINST[0]) not in told:
            raise SystemExit(
                f"reward_tables: there is no loss {base!r}; known: {', '.join(s.name for s in one.systems)}"
            )
        contrasts += [contrast(own, told[base, m]) for (name, m), own in told.items() if name != base]
    return _rows(contrasts)


def _rows(contrasts: list[Contrast]) -> list[dict[str, Any]]:
    """As ``longest.csv`` and ``beside.csv`` have them."""
    return [
        {
            "data": c.data, "system": c.system, "measure": str(c.measure), "difference": c.difference, "low": c.low,
            "high": c.high, "detectable": c.detectable, "p": c.p["fisher"], "p holm": c.adjusted["fisher"],
        }
        for c in corrected(contrasts)
    ]  # fmt: skip


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Rows as CSV, figures of four digits."""
    with replacing(path) as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


#: measure -> head of its column in the table of a README
SHOWN = {
    "pair_accuracy": "pairs", "pair_accuracy_top.2": "pairs, top fifth", "best_of@10": "best of 10", "regret": "regret",
    "spearman_length": "length", "calibration_error": "ECE", "tie_auc": "ties",
}  # fmt: skip


def table(folder: Path) -> str:
    """A Markdown table for each data set, of the files in a benchmark's folder.

    A mark stands where the difference from the baseline is significant after Holm's correction.
    """
    with open(folder / "results.csv") as file, open(folder / "calibration.csv") as more:
        rows = [*csv.DictReader(file), *csv.DictReader(more)]
    told = json.loads((folder / "results.json").read_text(encoding="utf-8"))["contrasts"]
    alone = rows[0]["data"]  # of one data set alone contrasts do not name it
    differs = {
        (row.get("data", alone), row["system"], row["measure"]) for row in told["rows"] if row["p fisher (Holm)"] < 0.05
    }
    values = {(row["data"], row["system"], row["measure"]): float(row["mean"]) for row in rows}
    parts = []
    for data in dict.fromkeys(row["data"] for row in rows):
        shown = {m: head for m, head in SHOWN.items() if any((d, n) == (data, m) for d, _, n in values)}
        lines = [f"| {data} | {' | '.join(shown.values())} |", "|---" * (len(shown) + 1) + "|"]
        for system in dict.fromkeys(row["system"] for row in rows if row["data"] == data):
            cells = [(values.get((data, system, m)), (data, system, m) in differs) for m in shown]
            lines.append(
                f"| {system} | {' | '.join('' if v is None else f'{v:.3f}' + '‡' * marked for v, marked in cells)} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main(given: list[str] | None = None) -> None:
    """Measure the finished cells of a spec; write both tables into its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", help="the YAML file of the benchmark")
    parser.add_argument("--folder", help="its folder, where the spec does not say so")
    parser.add_argument("--beside", help="folder of another benchmark of the same test prompts")
    parser.add_argument("--base", help="name of a loss that others are compared with too")
    args = parser.parse_args(given)
    spec = read_spec(args.spec, [f"folder={args.folder}"] if args.folder else [])
    groups, _ = reported(spec)
    truths = {name: truth for name in spec.data if (truth := Store(spec.folder).truth(name, plain=True)) is not None}
    found = results(spec, groups, truths).data
    write([row for one in found for row in calibration(one)], Path(spec.folder, "calibration.csv"))
    write(against_longest(found), Path(spec.folder, "longest.csv"))
    if args.beside:
        write(against_others(found, Path(args.beside)), Path(spec.folder, "beside.csv"))
    if args.base:
        write(against_own(found, args.base), Path(spec.folder, "base.csv"))
    asked = {"beside.csv": args.beside, "base.csv": args.base}
    made = ["calibration.csv", "longest.csv", *(name for name, wanted in asked.items() if wanted)]
    print(f"{table(Path(spec.folder))}\n\n{', '.join(f'{spec.folder}/{name}' for name in made)}")


if __name__ == "__main__":
    main()
