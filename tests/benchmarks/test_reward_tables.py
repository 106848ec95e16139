"""Calibration of pairs and differences from the longest response, of a benchmark that was run; and what is told of it."""

from __future__ import annotations

import csv
import gzip
import io
import json

import fastparquet
import numpy as np
import pytest
import yaml

from benchmarks.quality import reward_tables
from ltr.experiments.cells.runner import run
from ltr.experiments.publishing.publish import publish
from ltr.experiments.spec.reading import read_spec
from ltr.metrics.measures.preferences import calibration_error
from tests.experiments.here import Here
from tests.tiny_model import tiny_model  # noqa: F401

WORDS = ["join", "two", "paths", "read"]


def rows_of(path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.fixture
def spec(tmp_path, tiny_model):  # noqa: F811
    """Two losses of two seeds on prompts of three responses, of which the longest is the worst; one pair is tied."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 8), ("dev", 12)):
        rows = []
        for i in range(n):
            said = [{"text": " ".join(rng.choice(WORDS, k)), "score": s} for k, s in ((2, 1.0), (3, 1.0), (5, 0.0))]
            rows.append(json.dumps({"prompt_id": f"{part}{i}", "prompt": f"{part} {i}", "responses": said}))
        with gzip.open(tmp_path / f"{part}.jsonl.gz", "wt") as file:
            file.write("\n".join(rows))
    train, test = (str(tmp_path / f"{part}.jsonl.gz") for part in ("train", "dev"))
    parts = {
        "train": f"{train}[:50%]",
        "dev": f"{train}[50%:]",
        "test": test,
        "model": str(tiny_model),
        "max_length": 24,
    }
    values = {
        "name": "heads",
        "data": {"small": {"class_path": "benchmarks.quality.preference_sets.FrozenPreferences", "init_args": parts}},
        "scorers": {"linear": {"class_path": "ltr.scorers.LinearScorer"}},
        "losses": {"BradleyTerry": "BradleyTerry()", "MSE": "MSE()"},
        "seeds": 2, "model": {"lr": 0.1}, "trainer": {"max_epochs": 2, "accelerator": "cpu"},
        "monitor": "pair_accuracy", "measures": ["pair_accuracy", "best_of@10"], "baseline": "BradleyTerry",
        "folder": str(tmp_path / "run"),
    }  # fmt: skip
    path = tmp_path / "heads.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_tables_of_pairs_and_of_length_are_made_of_the_cells(spec, tmp_path, capsys):
    groups = run(read_spec(spec), Here(), lambda _: None)
    publish(read_spec(spec), groups, lambda _: None)
    reward_tables.main([str(spec)])
    own = next(group for group in groups if group.loss_name == "MSE")
    labels, offsets = np.tile([1.0, 1.0, 0.0], 12), np.arange(13) * 3
    expected = [calibration_error(own.seeds[seed].scores, labels, offsets) for seed in (0, 1)]
    table = {(row["system"], row["measure"]): row for row in rows_of(tmp_path / "run" / "calibration.csv")}
    assert len(table) == 4
    assert float(table["MSE", "calibration_error"]["mean"]) == pytest.approx(np.mean(expected), abs=1e-4)
    assert float(table["MSE", "calibration_error"]["seed sd"]) == pytest.approx(np.std(expected, ddof=1), abs=1e-4)
    assert 0 <= float(table["BradleyTerry", "tie_auc"]["mean"]) <= 1
    first, _, *lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    assert first == "| small | pairs | best of 10 | ECE | ties |"
    assert [line.split(" | ")[0] for line in lines] == ["| BradleyTerry", "| MSE", "| random order", "| longest"]
    assert f" | {np.mean(expected):.3f} | " in lines[1]
    longest = rows_of(tmp_path / "run" / "longest.csv")
    assert [(row["system"], row["measure"]) for row in longest] == [
        (system, measure) for system in ("BradleyTerry", "MSE") for measure in ("pair_accuracy", "best_of@10")
    ]
    for row in longest:  # the longest is always the worst, so that what is gained is what the loss reaches
        value = np.mean(list(reached(groups, row["system"], row["measure"])))
        assert float(row["difference"]) == pytest.approx(value, abs=1e-3)
    least, corrected = (min(float(row[name]) for row in longest) for name in ("p", "p holm"))
    assert corrected == pytest.approx(min(1.0, len(longest) * least), rel=1e-2)  # over the whole table
    assert least < 0.25

    # another benchmark of the same prompts, which has one of the losses, its rows in another order
    other = tmp_path / "other"
    other.mkdir()
    theirs = fastparquet.ParquetFile(io.BytesIO((tmp_path / "run" / "per_query.parquet").read_bytes())).to_pandas()
    theirs = theirs[theirs["system"] == "MSE"].sample(frac=1, random_state=0).assign(pair_accuracy=0.25)
    fastparquet.write(str(other / "per_query.parquet"), theirs)
    reward_tables.main([str(spec), "--beside", str(other)])
    beside = {
        (row["system"], row["measure"]): float(row["difference"]) for row in rows_of(tmp_path / "run" / "beside.csv")
    }
    accuracy = np.mean(list(reached(groups, "MSE", "pair_accuracy")))
    assert beside == {("MSE", "pair_accuracy"): pytest.approx(accuracy - 0.25, abs=1e-3), ("MSE", "best_of@10"): 0}
    reward_tables.main([str(spec), "--base", "MSE"])
    base = {(row["system"], row["measure"]): float(row["difference"]) for row in rows_of(tmp_path / "run" / "base.csv")}
    assert base == {
        ("BradleyTerry", m): pytest.approx(
            np.mean([*reached(groups, "BradleyTerry", m)]) - np.mean([*reached(groups, "MSE", m)]), abs=1e-3
        )
        for m in ("pair_accuracy", "best_of@10")
    }
    with pytest.raises(SystemExit, match="there is no loss 'Mse'; known: BradleyTerry, MSE"):
        reward_tables.main([str(spec), "--base", "Mse"])
    fastparquet.write(str(other / "per_query.parquet"), theirs.assign(query_id=[f"x{q}" for q in theirs["query_id"]]))
    with pytest.raises(SystemExit, match="has no loss of a name of these, on the same data and test prompts"):
        reward_tables.main([str(spec), "--beside", str(other)])


def reached(groups, system, measure):
    """The values of a loss's seeds, pair by pair and list by list."""
    own = next(group for group in groups if group.loss_name == system)
    for cell in own.seeds.values():
        for scores in cell.scores.reshape(-1, 3):
            if measure == "pair_accuracy":
                yield np.mean([(a > scores[2]) + 0.5 * (a == scores[2]) for a in scores[:2]])
            else:
                best = scores == scores.max()
                yield (best[:2].sum()) / best.sum()
