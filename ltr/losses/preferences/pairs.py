"""Losses over pairs of responses that are no matching losses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltr.errors import ConfigError
from ltr.losses.pair_loss import PairLoss
from ltr.losses.preferences.names import within_half


class RobustDPO(PairLoss):
    """DPO without the bias of labels that are wrong with probability eps; **unbounded below**.

    ``[(1 − eps) ℓ(d) − eps ℓ(−d)] / (1 − 2 eps)`` with ``ℓ(d) = −log σ(d)``: its mean over wrong and right labels is that
    of DPO on right ones. For large d it falls as ``−eps d / (1 − 2 eps)``, so that nothing holds differences back but the
    learning rate: −125 at d = 1000 with eps = 0.1. ``cDPO`` is bounded. Ties make no pair.

    Args:
        eps: at least 0 and below ½.

    Raises:
        ConfigError: another eps.

    Source: S. Chowdhury, A. Kini, N. Natarajan, Provably Robust DPO, ICML 2024, equation 12.

    >>> RobustDPO(0.1)(torch.tensor([[1000.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    tensor(-125.)
    """

    finite: ClassVar[bool] = True

    def __init__(self, eps: float = 0.1, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.eps = within_half("RobustDPO", eps)
        if self.eps:
            why = {**self.laws.why, "lower_bound": "what wrong labels are expected to cost is taken away"}
            self.laws = replace(self.laws, lower_bound=-math.inf, why=why)

    def pair_cost(self, difference: Tensor) -> tuple[Tensor, Tensor]:
        """The unbiased logistic loss, and its derivative."""
        right, wrong = -F.logsigmoid(difference), -F.logsigmoid(-difference)
        share = 1 - 2 * self.eps
        cost = ((1 - self.eps) * right - self.eps * wrong) / share
        slope = -((1 - self.eps) * torch.sigmoid(-difference) + self.eps * torch.sigmoid(difference)) / share
        return cost, slope


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
