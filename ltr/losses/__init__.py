"""Losses by family. All share one contract: see ``ltr.losses.base.Loss``.

Names load lazily: importing this package imports neither torch nor a loss.
"""

# ruff: noqa: F401 (type checkers and editors read the imports below)

from __future__ import annotations

from typing import TYPE_CHECKING

from ltr.io.importing.lazy import lazy_names

#: family -> loss -> the module that defines it
FAMILIES = {
    "selective": {
        "Matching": "matching",
        "DifferenceMatching": "matching",
        "CompositeContrast": "composite",
        "CompositeSoftmax": "composite",
    },
    "pointwise": {"BCE": "pointwise", "MSE": "pointwise", "Huber": "pointwise"},
    "pairwise": {"RankNet": "pairwise", "PairwiseHinge": "pairwise", "MarginMSE": "pairwise"},
    "listwise": {
        "ListNet": "listwise",
        "SoftmaxCE": "listwise",
        "InfoNCE": "listwise",
        "KLDistillation": "listwise",
        "ADRMSE": "rank_distillation",
        "ListMLE": "listwise",
        "PListMLE": "listwise",
    },
    "metric-driven": {
        "LambdaRank": "lambdas",
        "LambdaLoss": "lambdas",
        "ApproxNDCG": "relaxed",
        "ApproxMRR": "relaxed",
        "NeuralNDCG": "relaxed",
    },
    "preferences": {
        "BradleyTerry": "preferences.bradley_terry",
        "DPO": "preferences.dpo",
        "cDPO": "preferences.dpo",
        "IPO": "preferences.ipo",
        "SimPO": "preferences.simpo",
        "SLiC": "preferences.slic",
        "RankBoost": "preferences.rank_boost",
        "fDPO": "preferences.dpo",
        "RobustDPO": "preferences.dpo",
        "EXO": "preferences.exo",
        "KTO": "preferences.kto",
        "ORPO": "preferences.orpo",
    },
}

#: what losses are made of: targets, pair weights, a centre that moves; and what one's own derive from
PARTS = {
    "Scores": "targets",
    "Grades": "targets",
    "Dual": "targets",
    "Gains": "targets",
    "LabelSoftmax": "targets",
    "Positives": "targets",
    "PairTargets": "targets",
    "Uniform": "pair_weights",
    "GradeDifference": "pair_weights",
    "DeltaNDCG": "pair_weights",
    "RunningCenter": "running",
    "dead_share": "running",
    "transform_of": "running",
    "Loss": "base",
    "PairLoss": "pair_loss",
    "PairWeights": "pair_weights",
    "Targets": "targets",
    "Laws": "base",
}

if TYPE_CHECKING:
    from ltr.losses.base import Laws, Loss
    from ltr.losses.composite import CompositeContrast, CompositeSoftmax
    from ltr.losses.lambdas import LambdaLoss, LambdaRank
    from ltr.losses.listwise import InfoNCE, KLDistillation, ListMLE, ListNet, PListMLE, SoftmaxCE
    from ltr.losses.matching import DifferenceMatching, Matching
    from ltr.losses.pair_loss import PairLoss
    from ltr.losses.pair_weights import DeltaNDCG, GradeDifference, PairWeights, Uniform
    from ltr.losses.pairwise import MarginMSE, PairwiseHinge, RankNet
    from ltr.losses.pointwise import BCE, MSE, Huber
    from ltr.losses.preferences.bradley_terry import BradleyTerry
    from ltr.losses.preferences.dpo import DPO, RobustDPO, cDPO, fDPO
    from ltr.losses.preferences.exo import EXO
    from ltr.losses.preferences.ipo import IPO
    from ltr.losses.preferences.kto import KTO
    from ltr.losses.preferences.orpo import ORPO
    from ltr.losses.preferences.rank_boost import RankBoost
    from ltr.losses.preferences.simpo import SimPO
    from ltr.losses.preferences.slic import SLiC
    from ltr.losses.rank_distillation import ADRMSE
    from ltr.losses.relaxed import ApproxMRR, ApproxNDCG, NeuralNDCG
    from ltr.losses.running import RunningCenter, dead_share, transform_of
    from ltr.losses.targets import Dual, Gains, Grades, LabelSoftmax, PairTargets, Positives, Scores, Targets

_HOMES = {name: f".{home}" for group in (*FAMILIES.values(), PARTS) for name, home in group.items()}

__all__ = [*_HOMES, "FAMILIES"]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name
    __getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
