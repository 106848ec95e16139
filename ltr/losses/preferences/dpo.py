"""Direct preference optimisation and its variants: conservative, robust, and under other divergences."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltr.errors import ConfigError
from ltr.links import Identity, Link, ReverseExp, ReverseSoftplus, Sigmoid
from ltr.losses.base import LogRatios, positive
from ltr.losses.composite import CompositeContrast
from ltr.losses.matching import DifferenceMatching
from ltr.losses.pair_loss import PairLoss
from ltr.losses.preferences.label_noise import SURE, within_half
from ltr.losses.targets import PairTargets

DIVERGENCES = ("reverse_kl", "forward_kl", "js", "alpha")


class DPO(DifferenceMatching):
    """Direct preference optimisation: the logistic loss of ``beta (log π − log π_ref)``, which the scorer returns.

    ``DifferenceMatching(Sigmoid(), PairTargets(probability=1.0))``: Bradley–Terry on a policy's own rewards; ties count.

    Source: R. Rafailov et al., Direct Preference Optimization, NeurIPS 2023, equation 7.

    >>> import torch
    >>> DPO()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # policy = reference: log 2
    tensor(0.6931)
    """

    def __init__(self, reduction: str = "mean"):
        super().__init__(Sigmoid(), SURE, reduction=reduction)


class cDPO(DifferenceMatching):
    """Conservative DPO: labels are wrong with probability eps; the logistic loss of soft labels, less their entropy.

    ``DifferenceMatching(Sigmoid(), PairTargets(probability=1 − eps))``: ``D_σ(d, logit(1 − eps))``.

    Args:
        eps: at least 0 and below ½.

    Raises:
        ConfigError: another eps.

    Source: E. Mitchell, A note on DPO with noisy preferences and relationship to IPO, 2023, equation 3.

    >>> import math, torch
    >>> cDPO(0.25)(torch.tensor([[math.log(3), 0.0]]), torch.tensor([[1.0, 0.0]])) < 1e-6  # at logit ¾
    tensor(True)
    """

    def __init__(self, eps: float = 0.1, reduction: str = "mean"):
        eps = within_half("cDPO", eps)
        super().__init__(Sigmoid(), PairTargets(probability=1 - eps), reduction=reduction)
        self.eps = eps


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


class fDPO(CompositeContrast):
    """DPO under another divergence from the reference than the reverse KL: a contrast of transformed log-ratios.

    ``−log σ(β f′(e^{u_w}) − β f′(e^{u_l}))`` with u the log-ratio, of scores β u: ``CompositeContrast`` of a transform that
    is ``Identity()`` for the reverse KL, ``ReverseExp(width=β, scale=β)`` for the forward, ``ReverseSoftplus`` alike for
    Jensen–Shannon, ``ReverseExp(width=β/(1−α), scale=β/(1−α))`` for α. Ties make no pair.

    Args:
        divergence: ``"reverse_kl"``, ``"forward_kl"``, ``"js"`` or ``"alpha"``.
        beta: that of the scorer, above 0.
        alpha: at least 0 and below 1; 0 is the forward KL, towards 1 the reverse (TRL's coefficient is 1 − alpha).

    Raises:
        ConfigError: another divergence, beta or alpha.

    Source: C. Wang et al., Beyond Reverse KL: Generalizing Direct Preference Optimization, ICLR 2024, table 1.

    >>> import torch
    >>> fDPO("forward_kl")(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # log 2
    tensor(0.6931)
    """

    def __init__(self, divergence: str = "reverse_kl", beta: float = 1.0, alpha: float = 0.5, reduction: str = "mean"):
        if divergence not in DIVERGENCES:
            raise ConfigError(f"fDPO: divergence must be one of {', '.join(DIVERGENCES)}, got {divergence!r}")
        beta = positive("fDPO", "beta", beta)
        if isinstance(alpha, bool) or not 0 <= alpha < 1:
            raise ConfigError(f"fDPO: alpha must be at least 0 and below 1, got {alpha!r}")
        width = beta / (1 - alpha) if divergence == "alpha" else beta
        transforms: dict[str, Link] = {"reverse_kl": Identity(), "js": ReverseSoftplus(width=width, scale=width)}
        super().__init__(transforms.get(divergence, ReverseExp(width=width, scale=width)), reduction=reduction)
        self.divergence, self.beta, self.alpha = divergence, beta, float(alpha)

    def check_scores(self, log_ratios: LogRatios | None) -> None:
        if log_ratios is not None and self.divergence != "reverse_kl" and self.beta != log_ratios.beta:
            raise ConfigError(
                f"fDPO: it takes log-ratios from scores by a beta of its own, {self.beta:g}, and the scorer's is {log_ratios.beta:g}: "
                f"it would be the loss of another divergence; write beta={log_ratios.beta:g} in the loss, too"
            )
