"""Classical losses over pairs of documents: RankNet, the pairwise hinge, Margin-MSE."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltr.links import Identity
from ltr.losses.base import Laws, Loss, has_two, positive
from ltr.losses.pair_loss import UNIFORM, PairLoss
from ltr.losses.pair_weights import PairWeights


class RankNet(PairLoss):
    """The better document of each pair should score higher: the logistic loss of score differences.

    ``log(1 + exp(−σ (ŝᵢ − ŝⱼ)))`` for every pair with ``labelᵢ > labelⱼ``: the same as
    ``CompositeContrast(Identity(scale=sigma), pair_weights)``.

    Args:
        pair_weights: ``Uniform()`` (default), ``GradeDifference()`` or ``DeltaNDCG()``.
        sigma: σ > 0, per unit of score.

    Raises:
        ConfigError: σ that is not above 0.

    Source: C. Burges et al., Learning to Rank using Gradient Descent, ICML 2005, equation 3 with target probability 1.

    >>> RankNet()(torch.tensor([[2.0, 2.0]]), torch.tensor([[3.0, 1.0]]))  # log 2
    tensor(0.6931)
    """

    finite: ClassVar[bool] = True

    def __init__(self, pair_weights: PairWeights = UNIFORM, sigma: float = 1.0, reduction: str = "mean"):
        super().__init__(pair_weights, reduction)
        self.sigma = positive(type(self).__name__, "sigma", sigma)
        self.transform = Identity(scale=self.sigma)

    def values(self, scores: Tensor) -> Tensor:
        # σ = 1 is not worth a trip through float64, which is a third of the time on short lists
        return scores if self.sigma == 1 else self.transform(scores)

    @staticmethod
    def pair_cost(difference: Tensor) -> tuple[Tensor, Tensor]:
        """−log σ(difference), and its derivative −σ(−difference)."""
        log = F.logsigmoid(difference)
        return log.neg(), log.expm1_()


class PairwiseHinge(PairLoss):
    """The better document of each pair should score higher by a margin; pairs that do cost nothing.

    ``max(0, margin − (ŝᵢ − ŝⱼ))`` for every pair with ``labelᵢ > labelⱼ``.

    Args:
        margin: above 0, in units of score.
        pair_weights: ``Uniform()`` (default), ``GradeDifference()`` or ``DeltaNDCG()``.

    Raises:
        ConfigError: a margin that is not above 0.

    Source: T. Joachims, Optimizing Search Engines using Clickthrough Data, KDD 2002, section 4.2 (ranking SVM).

    >>> PairwiseHinge()(torch.tensor([[0.5, 0.0]]), torch.tensor([[1.0, 0.0]]))  # 1 − 0.5
    tensor(0.5000)
    """

    laws = replace(
        PairLoss.laws,
        kinks=True,
        why={**PairLoss.laws.why, "kinks": "the gradient jumps where a pair reaches the margin"},
    )
    finite: ClassVar[bool] = True

    def __init__(self, margin: float = 1.0, pair_weights: PairWeights = UNIFORM, reduction: str = "mean"):
        super().__init__(pair_weights, reduction)
        self.margin = positive("PairwiseHinge", "margin", margin)

    def pair_cost(self, difference: Tensor) -> tuple[Tensor, Tensor]:
        """By how much the difference misses the margin, and its derivative."""
        missing = difference.neg_().add_(self.margin).clamp_(min=0)
        return missing, missing.sign().neg_()


class MarginMSE(Loss):
    """Score differences should equal a teacher's: the mean squared error over all pairs of a list.

    ``mean over i < j of ((ŝᵢ − ŝⱼ) − (sᵢ − sⱼ))²``, labels being the teacher's scores s. Computed as
    ``2/(n − 1) Σ (eᵢ − ē)²`` with ``eᵢ = ŝᵢ − sᵢ``, in time and memory linear in the number n of documents.

    Source: S. Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge
    Distillation, arXiv 2010.02666, 2020, equation 7, over all pairs of the list.

    >>> MarginMSE()(torch.tensor([[3.0, 0.0]]), torch.tensor([[6.0, 5.0]]))  # (3 − 1)²
    tensor(4.)
    """

    laws = Laws(labels="scores", divergence=True, shift=True)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        count = mask.sum(-1, keepdim=True).clamp(min=2)
        error = scores - labels  # 0 at masked places, on both sides
        centred = torch.where(mask, error - error.sum(-1, keepdim=True) / count, 0)
        return 2 * (centred * centred).sum(-1) / (count[:, 0] - 1)
