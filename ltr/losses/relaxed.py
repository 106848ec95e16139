"""Metrics made differentiable: ranks relaxed to sums of sigmoids (ApproxNDCG, ApproxMRR), and relaxed sorting (NeuralNDCG)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.losses.base import Laws, Loss, as_temperature, has_positive, has_two
from ltr.losses.engines.blocks import attached, fits
from ltr.losses.engines.soft_ranks import rank_sums, relaxed_ranks
from ltr.losses.engines.soft_sorting import relaxed_dcg
from ltr.losses.gains import check_cutoff, check_gains, check_grades, normalised_gains

NO_SCORES = "labels are grades, not target scores"


class ApproxNDCG(Loss):
    """One minus nDCG, with each rank relaxed so that it moves smoothly with the scores.

    ``1 − Σ Gᵢ / log2(1 + rᵢ)`` with gains G divided by the ideal DCG and ``rᵢ = 1 + Σ_{j ≠ i} σ((ŝⱼ − ŝᵢ)/τ)``; it tends
    to 1 − nDCG as τ → 0. Between 0 and 1.

    Args:
        temperature: τ > 0, in units of score: small values are close to nDCG and have small gradients where scores
            lie far apart.
        gains: ``"exponential"`` for 2^grade − 1, ``"linear"`` for the grade.

    Raises:
        ConfigError: a temperature that is not between 1e-30 and 1e30, unknown gains.
        DataError: labels that are no grades, or whose gains overflow.

    Source: T. Qin, T.-Y. Liu, H. Li, A general approximation framework for direct optimization of information
    retrieval measures, Information Retrieval 13, 2010, section 4.2.

    >>> ApproxNDCG()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # 1 − 1/log2(2.5)
    tensor(0.2435)
    """

    # relaxed ranks are a mixture of permutations and 1/log2(1 + r) is convex: no mixture beats the best permutation
    laws = Laws(shift=True, why={"divergence": NO_SCORES})

    def __init__(self, temperature: float = 0.1, gains: str = "exponential", reduction: str = "mean"):
        super().__init__(reduction)
        self.temperature = as_temperature("ApproxNDCG", temperature)
        check_gains("ApproxNDCG", gains)
        self.gains = gains

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        check_grades("ApproxNDCG", labels, mask, self.gains)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask) & has_positive(labels, mask)

    def counted(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        keep = self.contributes(labels, mask)
        with torch.no_grad():
            gained = normalised_gains(labels, mask, self.gains)
            gained *= -math.log(2)
        return rank_sums(_discounted, (gained,), scores, labels > 0, mask, self.temperature, 1.0, keep), keep

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return self.counted(scores, labels, mask)[0]


def _discounted(ranks: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """gain / log(1 + rank), and its derivative by the rank."""
    log = ranks.log1p()
    discounted = gain / log
    return discounted, discounted / log.mul_(-1 - ranks)


def _reciprocal(ranks: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """-share / rank, and its derivative by the rank."""
    cost = share / -ranks
    return cost, cost / -ranks


def _first(ranks: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """-1 / rank of the first of the wanted documents of whole lists, in equal shares where some tie; and derivatives."""
    ranks = torch.where(wanted, ranks, torch.inf)
    first = ranks == ranks.amin(-1, keepdim=True)
    return _reciprocal(ranks, first / first.sum(-1, keepdim=True))


class ApproxMRR(Loss):
    """One minus the reciprocal rank of the first relevant document, with ranks relaxed as in ``ApproxNDCG``.

    ``1 − 1/min rᵢ`` over documents with a positive label, ``rᵢ = 1 + Σ_{j ≠ i} σ((ŝⱼ − ŝᵢ)/τ)``; it tends to one minus the
    reciprocal rank as τ → 0. Only the best relevant document is pulled up; tied ones share the pull. Between 0 and 1.

    Args:
        temperature: τ > 0, in units of score.

    Raises:
        ConfigError: a temperature that is not between 1e-30 and 1e30.

    Source: the relaxed rank of T. Qin, T.-Y. Liu, H. Li, Information Retrieval 13, 2010, equation 12, in the
    reciprocal rank.

    >>> ApproxMRR()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # 1 − 1/1.5
    tensor(0.3333)
    """

    laws = Laws(
        labels="positives",
        shift=True,
        kinks=True,
        why={"divergence": NO_SCORES, "kinks": "the gradient jumps where another relevant document becomes the first"},
    )

    def __init__(self, temperature: float = 0.1, reduction: str = "mean"):
        super().__init__(reduction)
        self.temperature = as_temperature("ApproxMRR", temperature)

    def good_or_bad(self) -> bool:
        return True

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask) & has_positive(labels, mask)

    def counted(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        keep = self.contributes(labels, mask)
        with torch.no_grad():
            wanted = mask & (labels > 0)
        if fits(scores):
            return rank_sums(_first, (wanted,), scores, wanted, mask, self.temperature, 1.0, keep), keep
        with torch.no_grad():
            # twice, but the second time for the first document alone: 2.7 x at 64 x 1000 against all rows
            ranks = torch.where(wanted, relaxed_ranks(scores, wanted, mask, self.temperature), torch.inf)
            first = wanted & (ranks == ranks.amin(-1, keepdim=True))
            share = first / first.sum(-1, keepdim=True).clamp(min=1)
        return rank_sums(_reciprocal, (share,), scores, first, mask, self.temperature, 1.0, keep), keep

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return self.counted(scores, labels, mask)[0]


class NeuralNDCG(Loss):
    """One minus nDCG of a list that is sorted softly: each rank holds a mixture of documents.

    ``1 − Σᵢ D(i) Σⱼ Pᵢⱼ Gⱼ`` with gains G divided by the ideal DCG, ``D(i) = 1/log2(1 + i)`` and P the relaxed permutation:
    row i is ``softmax(((n + 1 − 2i) ŝ − A)/τ)`` with ``Aⱼ = Σₖ |ŝⱼ − ŝₖ|``, then Sinkhorn steps, each of which makes columns
    and then rows sum to 1. It tends to 1 − nDCG as τ → 0.

    Args:
        temperature: τ > 0, in units of score.
        sinkhorn_steps: how often columns and rows are normalised; 0: rows only.
        gains: ``"exponential"`` for 2^grade − 1, ``"linear"`` for the grade.
        cutoff: only the first ``cutoff`` ranks count (None: all).

    Raises:
        ConfigError: a temperature that is not between 1e-30 and 1e30, negative steps, unknown gains, a cutoff below 1.
        DataError: labels that are no grades, or whose gains overflow.

    Note:
        Bounded below by 1 − the largest column sum of P: 0 once Sinkhorn has converged, slightly below 0 without it; the
        jumps of the gradient where two scores tie vanish likewise. Keeps one [docs, docs] matrix up to 256 MB, and makes longer lists' anew, block by block, in each pass.

    Source: P. Pobrotyn, R. Białobrzeski, NeuralNDCG, arXiv 2102.07831, 2021, section 3.2, on the relaxed sort of
    A. Grover et al., ICLR 2019, equation 5.

    >>> NeuralNDCG()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # 1 − (1 + 1/log2 3)/2
    tensor(0.1845)
    """

    def __init__(
        self,
        temperature: float = 1.0,
        sinkhorn_steps: int = 10,
        gains: str = "exponential",
        cutoff: int | None = None,
        reduction: str = "mean",
    ):
        super().__init__(reduction)
        self.temperature = as_temperature("NeuralNDCG", temperature)
        if isinstance(sinkhorn_steps, bool) or not isinstance(sinkhorn_steps, int) or sinkhorn_steps < 0:
            raise ConfigError(f"NeuralNDCG: sinkhorn_steps must be a whole number, at least 0, got {sinkhorn_steps!r}")
        check_gains("NeuralNDCG", gains)
        check_cutoff("NeuralNDCG", cutoff)
        self.sinkhorn_steps, self.gains, self.cutoff = sinkhorn_steps, gains, cutoff
        why = {"divergence": NO_SCORES}
        why["lower_bound"] = "a document may stand in the softly sorted list more than once while columns exceed 1"
        why["kinks"] = "A bends where two scores tie, which a converged Sinkhorn alone would undo"
        self.laws = Laws(shift=True, kinks=True, lower_bound=-math.inf, why=why)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        check_grades("NeuralNDCG", labels, mask, self.gains)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask) & has_positive(labels, mask)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            gained = normalised_gains(labels, mask, self.gains, self.cutoff)
            values = scores.detach()
            dcg, gradient = relaxed_dcg(
                values, gained, mask, self.temperature, self.sinkhorn_steps, self.cutoff, scores.requires_grad
            )
        return 1 - dcg if gradient is None else attached(scores, 1 - dcg, -gradient)
