"""Kahneman–Tversky optimisation: completions that are good or bad by themselves."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.losses.base import Laws, Loss, positive


class KTO(Loss):
    """Good and bad completions by themselves, without pairs: a value that saturates on both sides of a reference point.

    ``λ_D (1 − σ(s − z))`` for completions with a positive label, ``λ_U (1 − σ(z − s))`` for others, with the scores
    ``s = β (log π − log π_ref)``. Not convex: the slope, ``λ σ(s − z) σ(z − s)``, is largest at the reference point and
    vanishes on both sides.

    Args:
        desirable: λ_D, above 0.
        undesirable: λ_U, above 0.
        reference: z, on the scale of the scores: β times the paper's z₀, which is estimated from the policy's divergence
            from the reference in the batch; here a number, so that costs do not depend on who shares a batch.

    Raises:
        ConfigError: weights that are not above 0, or a reference that is no finite number.

    Source: K. Ethayarajh et al., KTO: Model Alignment as Prospect Theoretic Optimization, ICML 2024, equation 8.

    >>> KTO()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # 1 − σ(0), both
    tensor(0.5000)
    """

    pointwise: ClassVar[bool] = True
    laws = Laws(why={"divergence": "labels are good or bad, not scores", "shift": "the reference is a score"})

    def __init__(
        self, desirable: float = 1.0, undesirable: float = 1.0, reference: float = 0.0, reduction: str = "mean"
    ):
        super().__init__(reduction)
        self.desirable = positive("KTO", "desirable", desirable)
        self.undesirable = positive("KTO", "undesirable", undesirable)
        if isinstance(reference, bool) or not math.isfinite(reference):
            raise ConfigError(f"KTO: reference must be a finite number, got {reference!r}")
        self.reference = float(reference)

    def good_or_bad(self) -> bool:
        return True

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        above = scores - self.reference
        good, bad = self.desirable * torch.sigmoid(-above), self.undesirable * torch.sigmoid(above)
        return torch.where(labels > 0, good, bad)
