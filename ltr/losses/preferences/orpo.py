"""Odds-ratio preference optimisation, without a reference model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.losses.base import Laws, LogRatios, Loss, has_positive, positive, real
from ltr.losses.engines.pairs import pair_sums
from ltr.losses.engines.problem import PairProblem
from ltr.losses.pair_loss import UNIFORM
from ltr.losses.pairwise import RankNet

#: mean log-probabilities above this have the log-odds of the tangent there: probabilities of 1 have infinite ones
NEAR_CERTAIN = -1e-3


class ORPO(Loss):
    """Good completions become likely, and likelier than bad ones by their odds; without a reference.

    The mean of ``−s`` over completions with a positive label, plus ``weight`` times the mean of ``−log σ(o(sᵢ) − o(sⱼ))``
    over pairs with labelᵢ > labelⱼ; s is the mean log-probability of a completion's tokens
    (``PolicyRatio(reference=None, beta=1.0, length="mean")``) and ``o(s) = s − log(1 − eˢ)`` its log-odds, which go on as
    a straight line above s = −0.001.

    Args:
        weight: of the odds, above 0; λ in the paper.

    Raises:
        ConfigError: a weight that is not above 0.

    Source: J. Hong, N. Lee, J. Thorne, ORPO: Monolithic Preference Optimization without Reference Model, EMNLP 2024,
    equation 6.

    >>> ORPO(0.5)(torch.tensor([[-2.0, -2.0]]), torch.tensor([[1.0, 0.0]]))  # 2 + log(2)/2
    tensor(2.3466)
    """

    laws = Laws(
        lower_bound=-math.inf,
        why={
            "divergence": "labels are good or bad, not scores",
            "shift": "scores are log-probabilities",
            "lower_bound": "0 for log-probabilities; scores above 0 are none",
        },
    )

    def __init__(self, weight: float = 0.1, reduction: str = "mean"):
        super().__init__(reduction)
        self.weight = positive("ORPO", "weight", weight)

    def good_or_bad(self) -> bool:
        return True

    def check_scores(self, log_ratios: LogRatios | None) -> None:
        if log_ratios != LogRatios(beta=1.0, reference=False, length="mean"):
            have = "no log-probabilities" if log_ratios is None else f"not that with {log_ratios}"
            raise ConfigError(
                f"ORPO reads mean log-probabilities, and scores are {have}; train a PolicyRatio with reference: null, length: mean "
                "and beta: 1"
            )

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_positive(labels, mask) & (real(labels, mask).sum(-1) >= 2)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        good = (labels > 0) & mask
        likelihood = torch.where(good, -scores, 0).sum(-1) / good.sum(-1).clamp(min=1)
        problem = PairProblem(
            RankNet.pair_cost, UNIFORM, log_odds(scores), scores, labels, mask, order=labels, finite=True
        )
        return likelihood + self.weight * pair_sums(problem)[0]


def log_odds(log_probability: Tensor) -> Tensor:
    """log(p / (1 − p)) from log p, above ``NEAR_CERTAIN`` its tangent.

    >>> log_odds(torch.tensor([0.5]).log())
    tensor([0.])
    """
    s = log_probability.clamp(max=NEAR_CERTAIN)
    # log(1 − eˢ), without the digits that cancel near 0 or far below
    rest = torch.where(s > -0.5, torch.log(-torch.expm1(s)), torch.log1p(-s.exp()))
    return s - rest - (log_probability - s) / math.expm1(NEAR_CERTAIN)
