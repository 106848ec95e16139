"""Reward models: RankBoost's exponential loss of two responses, with ties."""

from __future__ import annotations

from ltr.links import ReverseExp
from ltr.losses.matching import DifferenceMatching
from ltr.losses.preferences.label_noise import SURE


class RankBoost(DifferenceMatching):
    """The exponential loss of pairs: the worse a pair stands, the more it costs, without bound.

    ``DifferenceMatching(ReverseExp(), PairTargets(probability=1.0))``: ``exp(−d)``, and ``cosh d − 1`` for ties. From
    d = −10 on it goes on as a parabola.

    Source: Y. Freund et al., An Efficient Boosting Algorithm for Combining Preferences, JMLR 4, 2003, section 3.

    >>> import torch
    >>> RankBoost()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # e⁰
    tensor(1.)
    """

    def __init__(self, reduction: str = "mean"):
        super().__init__(ReverseExp(), SURE, reduction=reduction)
