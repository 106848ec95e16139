"""The alignment of a language model by four losses, small; and what its figures are made of."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("peft")

from benchmarks.quality import policies
from tests.scorers.causal.tiny import save_tiny_causal


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny_causal(tmp_path_factory.mktemp("causal") / "tiny"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Prompts of three graded completions, two of which are measured."""
    folder = tmp_path_factory.mktemp("graded")
    rng = np.random.default_rng(0)
    for part in ("train", "dev"):
        rows = []
        for i in range(6):
            said = [
                {"text": " ".join(rng.choice(["join", "two", "paths", "read"], n)), "score": float(n)}
                for n in (2, 3, 5)
            ]
            rows.append(json.dumps({"prompt_id": f"{part}{i}", "prompt": f"read {part} {i}", "responses": said}))
        with gzip.open(folder / f"{part}.jsonl.gz", "wt") as file:
            file.write("\n".join(rows))
    return str(folder)


@pytest.fixture
def options(model, data, tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))
    kept = [f"--work={tmp_path / 'work'}", f"--results={tmp_path / 'results'}", f"--model={model}", f"--data={data}"]
    return [*kept, "--steps=2", "--every=1", "--docs=2", "--tokens=4", "--held-out=5", "--rank=2", "--lr=0.01"]


def test_four_losses_start_alike_and_are_measured_every_few_steps(options, tmp_path, capsys):
    policies.main([*options, "--seeds=1"])
    with open(tmp_path / "results" / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["loss"], int(row["step"])) for row in rows] == [(m, s) for m in policies.METHODS for s in (0, 1, 2)]
    for row in rows:
        if row["step"] == "0":
            assert float(row["kl"]) == 0
            assert row["training loss"] == ""
        else:
            assert float(row["kl"]) != 0
    first = {row["loss"]: row for row in rows if row["step"] == "1"}
    assert float(first["DPO"]["training loss"]) == pytest.approx(np.log(2), abs=1e-4)  # policy and reference agree yet
    assert (tmp_path / "results" / "curves.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "results" / "results.json").read_text())
    last = {row["loss"]: float(row["pair_accuracy"]) for row in rows if row["step"] == "2"}
    start = {row["loss"]: float(row["pair_accuracy"]) for row in rows if row["step"] == "0"}
    for one in found["against the untrained model"]:
        assert one["difference"] == pytest.approx(last[one["loss"]] - start[one["loss"]], abs=1e-4)
        assert one["prompts"] == 5
    assert policies.table(rows, found["longest response"]) in capsys.readouterr().out
    for one in found["against the longest response"]:
        assert one["difference"] == pytest.approx(last[one["loss"]] - found["longest response"], abs=1e-4)
    # finished runs are taken from the work folder, and only with the settings that they were made with
    policies.main([*options, "--seeds=1"])
    assert " s\n" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="made with other settings"):
        policies.main([*options, "--seeds=1", "--lr=0.02"])


def test_margins_and_divergence_are_those_of_the_definition():
    held = policies.HeldOut(
        [], np.array([-4.0, -6.0, -2.0]), np.array([2, 3, 1]), np.array([1.0, 0.0, 0.5]), np.array([9.0, 4.0, 1.0]),
        np.array([0, 3]),
    )  # fmt: skip
    now = np.array([-3.0, -7.0, -2.0])
    dpo = policies.measured(policies.METHODS["DPO"], held, now)
    assert dpo["kl"].tolist() == [0.0]  # (1 - 1 + 0) / 3
    assert dpo["margin"] == pytest.approx([0.1 * (2 + 1 + 1) / 3])
    assert dpo["pair_accuracy"].tolist() == [1.0]
    simpo = policies.measured(policies.METHODS["SimPO"], held, now)
    assert simpo["margin"] == pytest.approx([2 * ((-1.5 + 7 / 3) + (-1.5 + 2) + (-2 + 7 / 3)) / 3])


def test_the_readme_shows_the_curves_that_are_kept():
    with open(policies.RESULTS / "curves.csv") as file:
        rows = list(csv.DictReader(file))
    found = json.loads((policies.RESULTS / "results.json").read_text())
    assert {row["loss"] for row in rows} == set(policies.METHODS) == set(found["losses"])
    assert {int(row["seed"]) for row in rows} == set(range(found["seeds"]))
    assert max(int(row["step"]) for row in rows) == found["settings"]["steps"]
    text = (policies.RESULTS / "README.md").read_text()
    assert f" --seeds {found['seeds']}`" in text
    assert text.endswith(f"\n\n{policies.table(rows, found['longest response'])}\n")


def test_held_out_completions_are_those_of_their_prompts(options):
    args = policies.arguments([*options, "--seeds=1"])
    held = policies.held_out(args)
    known = policies.data_of(args, 0).table("test")
    for i, (a, b) in enumerate(zip(known.offsets[:5], known.offsets[1:6], strict=True)):
        own = {*zip(known.labels[a:b], known.characters[a:b], strict=True)}
        taken = {*zip(held.labels[2 * i : 2 * i + 2], held.lengths[2 * i : 2 * i + 2], strict=True)}
        assert len(taken) == 2
        assert taken <= own
    assert policies.longest(args).tolist() == [1.0] * 5  # longer completions have larger scores in this file
