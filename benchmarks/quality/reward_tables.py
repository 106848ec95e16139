"""Two tables beside those of a benchmark of reward models: calibration of pairs, and every loss against the longest response.

    LTR_DATA=FOLDER python -m benchmarks.quality.reward_tables configs/benchmarks/rewards.yaml

Reads what ``ltr benchmark`` has finished and trains nothing. ``calibration.csv``: over the pairs of all test prompts, mean and
standard deviation over seeds of the expected calibration error of σ(difference), and of how well near scores tell ties.
``longest.csv``: differences from the order by length, prompt by prompt, with Holm's correction over the whole table.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltr.experiments.cells.runner import reported
from ltr.experiments.cells.store import Store
from ltr.experiments.publishing.results import DataResults, results
from ltr.experiments.spec.reading import read_spec
from ltr.io.files import replacing
from ltr.metrics.measures.measure import parse
from ltr.metrics.measures.preferences import calibration_error, tie_auc
from ltr.metrics.measures.yardsticks import LONGEST, yardsticks
from ltr.metrics.statistics.contrasts import contrast, corrected
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


def main(given: list[str] | None = None) -> None:
    """Measure the finished cells of a spec; write both tables into its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", help="the YAML file of the benchmark")
    parser.add_argument("--folder", help="its folder, where the spec does not say so")
    args = parser.parse_args(given)
    spec = read_spec(args.spec, [f"folder={args.folder}"] if args.folder else [])
    groups, _ = reported(spec)
    truths = {name: truth for name in spec.data if (truth := Store(spec.folder).truth(name, plain=True)) is not None}
    found = results(spec, groups, truths).data
    write([row for one in found for row in calibration(one)], Path(spec.folder, "calibration.csv"))
    write(against_longest(found), Path(spec.folder, "longest.csv"))
    print(f"{spec.folder}/calibration.csv, {spec.folder}/longest.csv")


if __name__ == "__main__":
    main()
