"""Reward models: Bradley and Terry's logistic loss of two responses, with ties."""

from __future__ import annotations

from ltr.links import Sigmoid
from ltr.losses.matching import DifferenceMatching
from ltr.losses.preferences.label_noise import SURE
from ltr.losses.targets import PairTargets


class BradleyTerry(DifferenceMatching):
    """The better of two responses should have the larger reward: the logistic loss, with ties.

    ``−log σ(rᵢ − rⱼ)`` where i is better; tied responses cost ``D_σ(rᵢ − rⱼ, 0)``, which is 0 at equal rewards. It is
    ``DifferenceMatching(Sigmoid(), targets)``.

    Args:
        targets: ``PairTargets(probability=1.0)`` (default) reads which response is better, ``probability="votes"`` how
            many think so, ``PairTargets(gap=…)`` by how much.

    Source: R. Bradley, M. Terry, Rank Analysis of Incomplete Block Designs, Biometrika 39, 1952; ties as soft labels.

    >>> import torch
    >>> BradleyTerry()(torch.tensor([[5.0, 0.0]]), torch.tensor([[1.0, 1.0]]))  # a tie: D_σ(5, 0)
    tensor(1.8136)
    """

    def __init__(self, targets: PairTargets = SURE, reduction: str = "mean"):
        super().__init__(Sigmoid(), targets, reduction=reduction)
