"""What is published of reward models was measured by the specs that are given out, whole, and told as it was measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from benchmarks.quality import reward_tables

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["rewards"])
def test_results_of_reward_models_are_those_of_the_spec(name):
    folder = ROOT / "benchmarks" / "results" / name
    spec = yaml.safe_load((ROOT / "configs" / "benchmarks" / f"{name}.yaml").read_text())
    assert yaml.safe_load((folder / "spec.yaml").read_text()) == spec
    kept = json.loads((folder / "results.json").read_text())
    assert kept["missing"] == kept["failures"] == kept["notes"] == []
    with open(folder / "per_seed.csv") as file:
        seeds = {(row["data"], row["system"], row["measure"], row["seed"]) for row in csv.DictReader(file)}
    assert seeds == {
        (data, loss, measure, str(seed))
        for data in spec["data"]
        for loss in spec["losses"]
        for measure in spec["measures"]
        for seed in range(spec["seeds"])
    }
    trials = {(one["data"], one["system"]): len(one["dev"]) for one in kept["chosen"]}
    assert set(trials.values()) == {spec["tuning"]["trials"]}  # tuned alike
    assert (folder / "README.md").read_text().endswith(f"\n\n{reward_tables.table(folder)}\n")
