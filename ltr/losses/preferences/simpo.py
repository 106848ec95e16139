"""Simple preference optimisation, without a reference model."""

from __future__ import annotations

import logging

from ltr.links import Sigmoid
from ltr.losses.base import LogRatios, positive
from ltr.losses.matching import DifferenceMatching
from ltr.losses.preferences.label_noise import SURE

log = logging.getLogger(__name__)


class SimPO(DifferenceMatching):
    """Simple preference optimisation: the logistic loss around a margin, of mean log-probabilities without reference.

    ``DifferenceMatching(Sigmoid(center=gamma), PairTargets(probability=1.0))``; ties are drawn together. The scorer is
    ``PolicyRatio(reference=None, length="mean")``, whose beta is that of the paper.

    Args:
        gamma: the margin, at least 0.

    Raises:
        ConfigError: a margin below 0.

    Source: Y. Meng, M. Xia, D. Chen, SimPO: Simple Preference Optimization with a Reference-Free Reward, NeurIPS 2024,
    equation 6.

    >>> import torch
    >>> SimPO(gamma=2.0)(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # at the margin: log 2
    tensor(0.6931)
    """

    def __init__(self, gamma: float = 0.5, reduction: str = "mean"):
        gamma = 0.0 if gamma == 0 and not isinstance(gamma, bool) else positive("SimPO", "gamma", gamma)
        super().__init__(Sigmoid(center=gamma), SURE, reduction=reduction)
        self.gamma = gamma

    def check_scores(self, log_ratios: LogRatios | None) -> None:
        if log_ratios is not None and (log_ratios.reference or log_ratios.length != "mean"):
            log.warning(
                "SimPO is meant for mean log-probabilities without a reference (reference: null, length: mean), got %s: what is "
                "trained is DPO with a margin",
                log_ratios,
            )
