"""Learning a teacher's ranks, not its scores: squared errors of relaxed ranks (ADR-MSE)."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.losses.base import Laws, Loss, has_two, positive
from ltr.losses.gains import discount
from ltr.losses.soft_ranks import rank_sums


class ADRMSE(Loss):
    """Documents should rank where a teacher ranks them: the squared error of relaxed ranks, discounted by the teacher's rank.

    ``1/n Σᵢ (r̂ᵢ − rᵢ)² / log2(1 + rᵢ)`` with ``r̂ᵢ = 1 + Σ_{j ≠ i} σ((ŝⱼ − ŝᵢ)/τ)`` and rᵢ the rank of document i among
    the n of its list by descending label, from 1. Labels are a teacher's scores (its ranks, negated, do as well) or
    grades: only their order counts. Tied labels share the mean of their ranks, so that equal scores suit them.

    Args:
        temperature: τ > 0, in units of score: scores much closer than τ share their ranks, far apart their gradients
            vanish.

    Raises:
        ConfigError: a temperature that is not above 0.

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
        self.temperature = positive("ADRMSE", "temperature", temperature)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = shared_ranks(torch.where(mask, labels, -torch.inf))
            weight = torch.where(mask, discount(wanted) / mask.sum(-1, keepdim=True).clamp(min=1), 0)
        return rank_sums(_missed, (weight, wanted), scores, mask, mask, self.temperature)


def _missed(ranks: Tensor, weight: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted squared error of ranks, and its derivative by them."""
    miss = ranks - wanted
    pull = weight * miss
    return pull * miss, 2 * pull


def shared_ranks(labels: Tensor) -> Tensor:
    """[lists, docs] ranks from 1 by falling labels; equal ones share the mean of their ranks.

    >>> shared_ranks(torch.tensor([[2.0, 5.0, 1.0, 2.0]]))
    tensor([[2.5000, 1.0000, 4.0000, 2.5000]])
    """
    fallen = -labels
    rising = fallen.sort(dim=-1).values
    before = torch.searchsorted(rising, fallen)
    until = torch.searchsorted(rising, fallen, right=True)
    return (before + until + 1).to(labels) / 2
