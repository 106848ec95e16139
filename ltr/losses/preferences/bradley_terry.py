"""Reward models: Bradley and Terry's logistic loss of two responses, with ties."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ltr.links import Sigmoid
from ltr.losses.base import positive
from ltr.losses.matching import DifferenceMatching
from ltr.losses.preferences.label_noise import SURE
from ltr.losses.targets import PairTargets


class BradleyTerry(DifferenceMatching):
    """The better of two responses should have the larger reward: the logistic loss, with ties.

    ``−log σ(rᵢ − rⱼ)`` where i is better; tied responses cost ``D_σ(rᵢ − rⱼ, 0)``, which is 0 at equal rewards. It is
    ``DifferenceMatching(Sigmoid(), targets)``, plus ``centering`` times the mean of ``(rᵢ + rⱼ)²`` over pairs.

    Args:
        targets: ``PairTargets(probability=1.0)`` (default) reads which response is better, ``probability="votes"`` how
            many think so, ``PairTargets(gap=…)`` by how much.
        centering: at least 0. Differences alone leave the level of each prompt's rewards open; above 0 (0.01, say) rewards
            are drawn to mean 0, so that those of different prompts can be compared.

    Raises:
        ConfigError: centering below 0.

    Source: R. Bradley, M. Terry, Rank Analysis of Incomplete Block Designs, Biometrika 39, 1952; ties as soft labels;
    centering: J. Eisenstein et al., Helping or Herding?, arXiv 2312.09244, 2023, appendix.

    >>> import torch
    >>> BradleyTerry()(torch.tensor([[5.0, 0.0]]), torch.tensor([[1.0, 1.0]]))  # a tie: D_σ(5, 0)
    tensor(1.8136)
    """

    def __init__(self, targets: PairTargets = SURE, centering: float = 0.0, reduction: str = "mean"):
        off = centering == 0 and not isinstance(centering, bool)
        super().__init__(Sigmoid(), targets, reduction=reduction)
        self.centering = 0.0 if off else positive("BradleyTerry", "centering", centering)
        if self.centering:
            why = {
                **self.laws.why,
                "shift": "rewards are drawn to mean 0",
                "divergence": "which the targets need not have",
            }
            self.laws = replace(self.laws, shift=False, divergence=False, why=why)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        costs = super().costs(scores, labels, mask)
        return costs + self._off_center(scores, mask) if self.centering else costs

    def counted(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        costs, keep = super().counted(scores, labels, mask)
        return (costs + torch.where(keep, self._off_center(scores, mask), 0) if self.centering else costs), keep

    def _off_center(self, scores: Tensor, mask: Tensor) -> Tensor:
        """[lists] ``centering`` times the mean of (rᵢ + rⱼ)² over pairs, without going through pairs."""
        n, own = mask.sum(-1), torch.where(mask, scores, 0)
        sums = (n - 2) * own.square().sum(-1) + own.sum(-1).square()
        return self.centering * sums / (n * (n - 1) / 2).clamp(min=1)
