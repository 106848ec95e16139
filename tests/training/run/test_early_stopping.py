"""Which validation is the best, and when waiting for a better one ends."""

import torch
from safetensors.torch import load_file

from ltr.training import RunFolder
from ltr.training.run.monitor import is_better
from ltr.training.run.records import read_manifest
from tests.training.run.short_runs import run


def test_a_training_that_patience_ended_stays_ended(fold, tmp_path, said):
    run(tmp_path / "run", fold, lr=1e-12, patience=2, max_epochs=9)
    before = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert read_manifest(tmp_path / "run")["step"] == 12
    run(tmp_path / "run", fold, lr=1e-12, patience=2, max_epochs=9, resumed=True)
    assert (
        "run ended at step 12, since dev/ndcg@3 had not improved for 2 validations; a larger --run.patience"
        in said.text
    )
    assert read_manifest(tmp_path / "run")["step"] == 12
    after = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in before)
    run(tmp_path / "run", fold, lr=1e-12, patience=3, max_epochs=9, resumed=True)
    assert read_manifest(tmp_path / "run")["step"] == 16


def test_values_that_are_not_finite_are_never_the_best():
    """One rule for trainings and benchmarks."""
    nan, inf = float("nan"), float("inf")
    for larger in (True, False):
        for best in (None, 0.0):
            assert not any(is_better(value, best, larger) for value in (nan, inf, -inf))
        assert is_better(-1.0, None, larger)
    assert (is_better(1.0, 0.0, True), is_better(1.0, 0.0, False), is_better(0.0, 0.0, True)) == (True, False, False)
    folder = RunFolder(mode="min")
    assert not folder.best.improves(-inf)
