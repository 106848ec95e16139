"""Names that alignment knows for settings of ltr's losses: each class is one line of settings, and its source.

Scores are rewards, or ``beta (log π − log π_ref)`` as ``ltr.scorers.PolicyRatio`` returns them; lists hold two responses
to a prompt or more, and labels say which is better.
"""

from __future__ import annotations

from ltr.errors import ConfigError
from ltr.links import Identity, Link, ReverseExp, ReverseSoftplus, Sigmoid
from ltr.losses.base import positive
from ltr.losses.composite import CompositeContrast
from ltr.losses.matching import DifferenceMatching
from ltr.losses.pairwise import PairwiseHinge
from ltr.losses.targets import PairTargets

SURE = PairTargets(probability=1.0)
DIVERGENCES = ("reverse_kl", "forward_kl", "js", "alpha")


class BradleyTerry(DifferenceMatching):
    """The better of two responses should have the larger reward: the logistic loss, with ties.

    ``−log σ(rᵢ − rⱼ)`` where i is better; tied responses cost ``D_σ(rᵢ − rⱼ, 0)``, which is 0 at equal rewards. It is
    ``DifferenceMatching(Sigmoid(), targets)``.

    Args:
        targets: ``PairTargets(probability=1.0)`` (default) reads which response is better, ``probability="votes"`` how
            many think so, ``PairTargets(gap=…)`` by how much.

    Source: R. Bradley, M. Terry, Rank Analysis of Incomplete Block Designs, Biometrika 39, 1952; ties as soft labels.

    >>> import torch
    >>> BradleyTerry()(torch.tensor([[5.0, 0.0]]), torch.tensor([[1.0, 1.0]]))  # a tie: D_σ(5, 0)
    tensor(1.8136)
    """

    def __init__(self, targets: PairTargets = SURE, reduction: str = "mean"):
        super().__init__(Sigmoid(), targets, reduction=reduction)


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
        self_eps = within_half("cDPO", eps)
        super().__init__(Sigmoid(), PairTargets(probability=1 - self_eps), reduction=reduction)
        self.eps = self_eps


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
        self_tau = positive("IPO", "tau", tau)
        super().__init__(Identity(scale=2.0), PairTargets(gap=1 / (2 * self_tau)), reduction=reduction)
        self.tau = self_tau


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
        self_gamma = 0.0 if gamma == 0 and not isinstance(gamma, bool) else positive("SimPO", "gamma", gamma)
        super().__init__(Sigmoid(center=self_gamma), SURE, reduction=reduction)
        self.gamma = self_gamma


class SLiC(PairwiseHinge):
    """Sequence likelihood calibration: the better response should lead by a margin; pairs that do cost nothing.

    ``PairwiseHinge(margin)``, the limit of ``Sigmoid(center=margin)`` of width 0; ties make no pair.

    Args:
        margin: above 0.

    Source: Y. Zhao et al., SLiC-HF: Sequence Likelihood Calibration with Human Feedback, arXiv 2305.10425, 2023,
    equation 1, without its term of the likelihood.

    >>> import torch
    >>> SLiC()(torch.tensor([[0.5, 0.0]]), torch.tensor([[1.0, 0.0]]))  # 1 − 0.5
    tensor(0.5000)
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean"):
        super().__init__(margin, reduction=reduction)


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
        self_beta = positive("fDPO", "beta", beta)
        if isinstance(alpha, bool) or not 0 <= alpha < 1:
            raise ConfigError(f"fDPO: alpha must be at least 0 and below 1, got {alpha!r}")
        width = self_beta / (1 - alpha) if divergence == "alpha" else self_beta
        transforms: dict[str, Link] = {"reverse_kl": Identity(), "js": ReverseSoftplus(width=width, scale=width)}
        super().__init__(transforms.get(divergence, ReverseExp(width=width, scale=width)), reduction=reduction)
        self.divergence, self.beta, self.alpha = divergence, self_beta, float(alpha)


def within_half(owner: str, eps: float) -> float:
    """``eps`` as a float, when it is a share of wrong labels; a ConfigError that names ``owner`` otherwise."""
    if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 <= eps < 0.5:
        raise ConfigError(f"{owner}: eps must be at least 0 and below 0.5, got {eps!r}")
    return float(eps)
