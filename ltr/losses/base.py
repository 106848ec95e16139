"""What all losses share: the contract, its checks, reductions, and which laws a loss keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from ltr.errors import ConfigError, DataError, ShapeError

REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class Laws:
    """Which laws a loss keeps; the contract tests read this and test each claim.

    Attributes:
        labels: what labels the loss takes: ``"scores"`` (any real), ``"grades"`` (0, 1, 2 ...), ``"binary"`` (in
            [0, 1]) or ``"positives"`` (grades of which at least one is positive).
        divergence: zero at the target scores and never negative.
        ranks: the loss ranks by score, so permutation is a law only without ties, and gradients have jumps there.
        kinks: the gradient has jumps at other places too (hinge, piecewise links).
        lower_bound: no value lies below it.
        shift: adding a constant to all scores of a list changes nothing.
        why: the reason for each law that is not claimed.
    """

    labels: str = "grades"
    divergence: bool = False
    ranks: bool = False
    kinks: bool = False
    lower_bound: float = 0.0
    shift: bool = False
    why: dict[str, str] = field(default_factory=dict)


class Loss(nn.Module):
    """A cost for lists of scored documents.

    ``loss(scores, labels, mask, weights)`` computes one cost per list and reduces them. Scores are raw: no
    activation is hidden in a loss, larger is better. All work is done in float32 or wider, whatever the scores' type.
    float16 scores get float16 gradients, which saturate at 65504.

    Args:
        reduction: ``"mean"`` sums over lists that contribute and divides by their number, ``"sum"`` sums, ``"none"``
            returns one cost per list. A list that does not contribute (``contributes``) costs exactly 0 and has
            gradient 0.

    Shape:
        scores [lists, docs] float; labels [lists, docs]; mask [lists, docs] bool, True where there is a document
        (default: everywhere); weights [lists], or [lists, docs] for pointwise losses: they multiply costs and do not
        change what a mean divides by. What stands at masked places (NaN too) does not matter.

    Raises:
        ShapeError: shapes that do not fit.
        DataError: NaN or infinite scores or labels, or labels that the loss's targets refuse, with the place.
    """

    laws: ClassVar[Laws] = Laws()
    #: True for losses that are a mean over documents and take weights per document
    pointwise: ClassVar[bool] = False

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ConfigError(
                f"{type(self).__name__}: reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}"
            )
        self.reduction = reduction

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """One cost per list [lists] (per document [lists, docs] for pointwise losses), before weights.

        Called with checked float32 or float64 tensors that are finite everywhere (0 where ``mask`` is False). What it
        returns at lists that do not contribute (documents that are masked) is ignored, but must have finite gradients.
        """
        raise NotImplementedError

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """[lists] bool: which lists can have a cost at all. Default: those with at least one document."""
        return real(labels, mask).any(-1)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        """Raise DataError for finite labels that this loss cannot take. Default: takes all."""

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        scores, labels, mask = self._checked(scores, labels, mask)
        keep = self.contributes(labels, mask)
        costs = self.costs(scores, labels, mask)
        if self.pointwise:
            if weights is not None and weights.shape == scores.shape:
                costs = costs * torch.where(mask, weights.to(costs), 0)
                weights = None
            costs = torch.where(mask, costs, 0).sum(-1) / mask.sum(-1).clamp(min=1)
        if weights is not None:
            if weights.shape != costs.shape:
                also = " or [lists, docs]" if self.pointwise else ""
                raise ShapeError(
                    f"{type(self).__name__}: weights must be [lists]{also} = {list(costs.shape)}, got {list(weights.shape)}"
                )
            costs = costs * weights.to(costs)
        costs = torch.where(keep, costs, 0)
        if self.reduction == "none":
            return costs
        total = costs.sum()
        return total if self.reduction == "sum" else total / keep.sum().clamp(min=1)

    def _checked(self, scores: Tensor, labels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        name = type(self).__name__
        if scores.dim() != 2:
            raise ShapeError(
                f"{name}: scores must be [lists, docs], got {list(scores.shape)}; for one list use scores[None]"
            )
        if labels.shape != scores.shape:
            raise ShapeError(
                f"{name}: labels must have the scores' shape {list(scores.shape)}, got {list(labels.shape)}"
            )
        if mask is None:
            mask = torch.ones_like(scores, dtype=torch.bool)
        elif mask.shape != scores.shape or mask.dtype != torch.bool:
            raise ShapeError(
                f"{name}: mask must be bool {list(scores.shape)} (True = real document), got {mask.dtype} {list(mask.shape)}"
            )
        if not scores.is_floating_point():
            raise ShapeError(f"{name}: scores must be floating point, got {scores.dtype}")
        dtype = torch.float64 if scores.dtype == torch.float64 else torch.float32
        scores = torch.where(mask, scores, 0).to(dtype)
        labels = torch.where(mask, labels, 0).to(dtype)
        if not bool((scores.isfinite() & labels.isfinite()).all()):
            what, values = ("scores", scores) if not bool(scores.isfinite().all()) else ("labels", labels)
            at = (~values.isfinite()).nonzero()[0].tolist()
            raise DataError(
                f"{name}: {what} must be finite, got {values[tuple(at)].item()} at list {at[0]}, document {at[1]}; mask it or mend the data"
            )
        self.check_labels(labels, mask)
        return scores, labels, mask


def real(labels: Tensor, mask: Tensor | None) -> Tensor:
    """The mask, or all True."""
    return torch.ones_like(labels, dtype=torch.bool) if mask is None else mask


def has_pair(labels: Tensor, mask: Tensor | None) -> Tensor:
    """[lists] bool: two documents of different labels."""
    mask = real(labels, mask)
    low = torch.where(mask, labels, torch.inf).amin(-1) if labels.shape[-1] else labels.new_zeros(len(labels))
    high = torch.where(mask, labels, -torch.inf).amax(-1) if labels.shape[-1] else labels.new_zeros(len(labels))
    return high > low


def has_positive(labels: Tensor, mask: Tensor | None) -> Tensor:
    """[lists] bool: a document with a positive label."""
    return (real(labels, mask) & (labels > 0)).any(-1)


def has_two(labels: Tensor, mask: Tensor | None) -> Tensor:
    """[lists] bool: at least two documents."""
    return real(labels, mask).sum(-1) >= 2
