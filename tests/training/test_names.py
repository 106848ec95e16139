"""The public names of ltr.training."""

import subprocess
import sys

import pytest

import ltr.training


def test_names_load_lazily():
    for name in ltr.training.__all__:
        assert getattr(ltr.training, name).__name__ == name
    assert ltr.training.__all__ == dir(ltr.training)
    # what a benchmark's report, and a worker before its first cell, need
    code = "import sys, ltr.experiments.cells.workers, ltr.experiments.publishing.publish; sys.exit('pytorch_lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(
        AttributeError, match=r"^module 'ltr.training' has no attribute 'Run'; known: RankingModule, RunFolder"
    ):
        _ = ltr.training.Run


def test_modules_of_the_package_are_its_attributes():
    code = "import ltr.training; assert ltr.training.module.RankingModule is ltr.training.RankingModule"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
