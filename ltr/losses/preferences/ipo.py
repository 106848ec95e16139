"""Identity preference optimisation."""

from __future__ import annotations

import logging

from ltr.links import Identity
from ltr.losses.base import LogRatios, positive
from ltr.losses.matching import DifferenceMatching
from ltr.losses.targets import PairTargets

log = logging.getLogger(__name__)


class IPO(DifferenceMatching):
    """Identity preference optimisation: every better response leads by the same margin, ``1/(2 tau)``.

    ``DifferenceMatching(Identity(scale=2.0), PairTargets(gap=1 / (2 tau)))``: ``(d − 1/(2 tau))²`` for labels 1 and 0, and
    graded margins for graded labels. Scores are log-ratios: a scorer with beta 1. Their mean or their sum over tokens
    (``PolicyRatio(length=…)``) are different losses, and implementations differ in which they take.

    Args:
        tau: above 0.

    Source: M. Azar et al., A General Theoretical Paradigm to Understand Learning from Human Preferences, AISTATS 2024,
    equation 17.

    >>> import torch
    >>> IPO(tau=0.25)(torch.tensor([[1.5, 0.0]]), torch.tensor([[1.0, 0.0]]))  # (1.5 − 2)²
    tensor(0.2500)
    """

    def __init__(self, tau: float = 0.1, reduction: str = "mean"):
        tau = positive("IPO", "tau", tau)
        super().__init__(Identity(scale=2.0), PairTargets(gap=1 / (2 * tau)), reduction=reduction)
        self.tau = tau

    def check_scores(self, log_ratios: LogRatios | None) -> None:
        if log_ratios is not None and log_ratios.beta != 1:
            log.warning(
                "IPO: its margin is one of log-ratios, and scores are %g times these: it asks for what tau %g asks for with beta 1, "
                "which is what published values of tau mean; set beta: 1",
                *(log_ratios.beta, self.tau * log_ratios.beta),
            )
