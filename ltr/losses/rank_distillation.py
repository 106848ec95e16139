"""Learning a teacher's ranks, not its scores: squared errors of relaxed ranks (ADR-MSE)."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.losses.base import Laws, Loss, as_temperature, has_two
from ltr.losses.engines.blocks import fits
from ltr.losses.engines.dense import lowered, transposed
from ltr.losses.engines.soft_ranks import rank_sums


class ADRMSE(Loss):
    """Documents should rank where a teacher ranks them: the squared error of relaxed ranks, discounted by the teacher's rank.

    ``1/n Σᵢ (r̂ᵢ − rᵢ)² / log2(1 + rᵢ)`` with ``r̂ᵢ = 1 + Σ_{j ≠ i} σ((ŝⱼ − ŝᵢ)/τ)`` and rᵢ the rank of document i among
    the n of its list by descending label, from 1. Labels are a teacher's scores (its ranks, negated, do as well) or
    grades: only their order counts. Tied labels share the mean of their ranks, so that equal scores suit them.

    Args:
        temperature: τ > 0, in units of score: scores much closer than τ share their ranks, far apart their gradients
            vanish.

    Raises:
        ConfigError: a temperature that is not between 1e-30 and 1e30.

    Note:
        Above 0 at any finite scores unless all labels tie: whole ranks are reached only as scores move apart. Costs grow
        with n² (an order reversed costs most); lists of very different lengths weigh accordingly.

    Source: F. Schlatt et al., Rank-DistiLLM: Closing the Effectiveness Gap Between Cross-Encoders and LLMs for Passage
    Re-Ranking, ECIR 2025 (arXiv 2405.07920), ADR-MSE; there a teacher's ranks never tie.

    >>> ADRMSE()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # (½² + ½²/log2 3)/2
    tensor(0.2039)
    """

    laws = Laws(shift=True, why={"divergence": "labels are ranked, their distances do not matter"})

    def __init__(self, temperature: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction)
        self.temperature = as_temperature("ADRMSE", temperature)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask)

    def counted(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        # one document is where it should be, and costs exactly 0
        n = mask.sum(-1)
        with torch.no_grad():
            wanted = shared_ranks(labels, mask)
            weight = mask / (torch.log2(1 + wanted) * n.clamp(min=1)[:, None])
        return rank_sums(_squared_error, (weight, wanted), scores, mask, mask, self.temperature), n >= 2

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return self.counted(scores, labels, mask)[0]


def _squared_error(ranks: Tensor, weight: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted squared error of ranks, and its derivative by them."""
    error = ranks - wanted
    weighted = weight * error
    return weighted * error, 2 * weighted


def shared_ranks(labels: Tensor, mask: Tensor) -> Tensor:
    """[lists, docs] ranks from 1 by falling labels; equal ones share the mean of their ranks, masked ones come last.

    >>> shared_ranks(torch.tensor([[2.0, 5.0, 1.0, 2.0]]), torch.tensor([[True, True, True, True]]))
    tensor([[2.5000, 1.0000, 4.0000, 2.5000]])
    """
    labels = lowered(labels, mask)
    if fits(labels):  # counting takes a third of the time of sorting
        high = transposed(labels)
        balance = (high.unsqueeze(0) - high.unsqueeze(1)).sign_().sum(1)  # how many are above, less how many are below
        return balance.add_(labels.shape[-1] + 1.0).div_(2).t()
    fallen = -labels
    rising = fallen.sort(dim=-1).values
    before = torch.searchsorted(rising, fallen)
    until = torch.searchsorted(rising, fallen, right=True)
    return (before + until + 1).to(labels) / 2
