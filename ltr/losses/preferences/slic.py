"""Sequence likelihood calibration."""

from __future__ import annotations

from ltr.losses.pairwise import PairwiseHinge


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
