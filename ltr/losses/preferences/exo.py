"""Exact optimisation of language models, from pairs."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltr.errors import ConfigError
from ltr.losses.pair_loss import PairLoss
from ltr.losses.preferences.label_noise import within_half


class EXO(PairLoss):
    """Exact optimisation of a pair: the reverse KL from the policy's choice to labels that are wrong with probability eps.

    ``σ(d) log(σ(d) / (1 − eps)) + σ(−d) log(σ(−d) / eps)``: 0 at ``d = logit(1 − eps)``. Not convex: far on the wrong side
    it is flat, at ``−log eps``. Ties make no pair.

    Args:
        eps: above 0 and below ½.

    Raises:
        ConfigError: another eps.

    Source: H. Ji et al., Towards Efficient Exact Optimization of Language Model Alignment, ICML 2024, equation 17.

    >>> EXO(0.25)(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # ½ log(⅔) + ½ log 2
    tensor(0.1438)
    """

    finite: ClassVar[bool] = True

    def __init__(self, eps: float = 0.001, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.eps = within_half("EXO", eps)
        if not self.eps:
            raise ConfigError("EXO: eps must be above 0, or every choice costs infinitely much, got 0")

    def pair_cost(self, difference: Tensor) -> tuple[Tensor, Tensor]:
        """The divergence of the choice, and its derivative σ(d) σ(−d) (d − logit(1 − eps))."""
        up, down = torch.sigmoid(difference), torch.sigmoid(-difference)
        cost = up * (F.logsigmoid(difference) - math.log1p(-self.eps))
        cost = cost + down * (F.logsigmoid(-difference) - math.log(self.eps))
        # rounding around the target
        return cost.clamp(min=0), up * down * (difference - math.log1p(-self.eps) + math.log(self.eps))
