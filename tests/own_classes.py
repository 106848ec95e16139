"""A module of a user's own, as a test puts it into the current folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

#: losses, a link, targets and a scorer that ltr does not have
SOURCE = '''
from dataclasses import dataclass

import torch

from ltr.losses import Loss
from ltr.losses.targets import Scores
from ltr.scorers import LinearScorer


class Mine(Loss):
    """Squared error, alpha times."""

    def __init__(self, alpha: float = 1.0, targets: Scores = Scores()):
        super().__init__()
        self.alpha, self.targets = alpha, targets

    def costs(self, scores, labels, mask):
        return self.alpha * ((scores - self.targets.scores(labels)).square() * mask).sum(-1)


class Wide(LinearScorer):
    """A scorer by another name."""


@dataclass(frozen=True)
class Half(Scores):
    """Half of the labels."""

    share: float = 0.5

    def scores(self, labels):
        return self.share * labels


def steep(z):
    return torch.asinh(2 * z)
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes the module into a temporary folder, which becomes the current one; gives its name."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    # the current folder is not on the path of the command ltr, as it is on that of python -m
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield name
    sys.modules.pop(name, None)
