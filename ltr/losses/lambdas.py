"""Losses over pairs weighted by what the order of the pair means to nDCG: LambdaRank and the LambdaLoss family."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.losses.gains import discount
from ltr.losses.pair_weights import Columns, DeltaNDCG, GainWeights
from ltr.losses.pairwise import RankNet


class LambdaRank(RankNet):
    """The better document of each pair should score higher, the more so the more nDCG would gain by it.

    ``Σ |ΔnDCGᵢⱼ| log(1 + exp(−σ (ŝᵢ − ŝⱼ)))`` over pairs with ``labelᵢ > labelⱼ``, ΔnDCG the change of nDCG when i and j
    swap their present ranks (without gradient). It is ``RankNet(DeltaNDCG(gains, cutoff), sigma)``.

    Args:
        gains: ``"exponential"`` for 2^grade − 1, ``"linear"`` for the grade.
        cutoff: nDCG@cutoff; pairs count with *either* document in the first ``cutoff`` ranks (None: all pairs).
        sigma: σ > 0, per unit of score.

    Raises:
        ConfigError: unknown gains, a cutoff below 1, σ that is not above 0.
        DataError: labels that are no grades, or whose gains overflow.

    Source: C. Burges, R. Ragno, Q. Le, Learning to Rank with Nonsmooth Cost Functions, NIPS 2006; as the loss of
    X. Wang et al., The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018, section 4.2.

    >>> import torch
    >>> LambdaRank(gains="linear")(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # (1 − 1/log2 3) log 2
    tensor(0.2558)
    """

    def __init__(
        self, gains: str = "exponential", cutoff: int | None = None, sigma: float = 1.0, reduction: str = "mean"
    ):
        super().__init__(DeltaNDCG(gains, cutoff), sigma, reduction)
        self.gains, self.cutoff = gains, cutoff


@dataclass(frozen=True)
class RankWeights(GainWeights):
    """NDCG-Loss1: a document pairs with every other one, weighted by its gain and the discount of its own rank."""

    others: ClassVar[bool] = True

    def weigh(self, upper: Columns, lower: Columns) -> Tensor:
        weight = upper[0] * discount(upper[1])
        return weight if self.cutoff is None else _within(weight + 0 * lower[1], upper[1], lower[1], self.cutoff)


@dataclass(frozen=True)
class GapWeights(GainWeights):
    """NDCG-Loss2: |Gᵢ − Gⱼ| · δᵢⱼ with δᵢⱼ = D(|rᵢ − rⱼ|) − D(|rᵢ − rⱼ| + 1), the discount lost by one more rank between them."""

    def weigh(self, upper: Columns, lower: Columns) -> Tensor:
        gap = (upper[1] - lower[1]).abs_()
        # a document has no gap to itself: such places are masked, but must be finite
        weight = discount(gap.clamp(min=1)).sub_(discount(gap.add_(1))).mul_(upper[0] - lower[0])
        return _within(weight, upper[1], lower[1], self.cutoff)


@dataclass(frozen=True)
class GapAndDeltaWeights(GapWeights):
    """NDCG-Loss2++: the weight of LambdaRank plus μ times that of NDCG-Loss2."""

    mu: float = 10.0

    def weigh(self, upper: Columns, lower: Columns) -> Tensor:
        weight = super().weigh(upper, lower).mul_(self.mu)
        change = (discount(upper[1], self.cutoff) - discount(lower[1], self.cutoff)).abs_()
        return weight.add_(change.mul_(upper[0] - lower[0]))


def _within(weight: Tensor, upper: Tensor, lower: Tensor, cutoff: int | None) -> Tensor:
    """The weights, 0 where both ranks are below the cutoff."""
    return weight if cutoff is None else weight.masked_fill_((upper > cutoff) & (lower > cutoff), 0)


class LambdaLoss(RankNet):
    """Upper bounds of the nDCG that is lost, made of pairs weighted by gains and present ranks.

    ``Σ wᵢⱼ log(1 + exp(−σ (ŝᵢ − ŝⱼ)))`` in natural logarithms; weights w carry no gradient. With gains G divided by the
    ideal DCG, ranks r and ``D(r) = 1/log2(1 + r)``:

    - ``"ndcg1"``: all ordered pairs i ≠ j, ``wᵢⱼ = Gᵢ D(rᵢ)``;
    - ``"ndcg2"``: pairs with ``labelᵢ > labelⱼ``, ``wᵢⱼ = (Gᵢ − Gⱼ) δᵢⱼ``, ``δᵢⱼ = D(|rᵢ − rⱼ|) − D(|rᵢ − rⱼ| + 1)``;
    - ``"ndcg2++"``: the same pairs, ``wᵢⱼ = (Gᵢ − Gⱼ) (|D(rᵢ) − D(rⱼ)| + μ δᵢⱼ)``, LambdaRank plus μ times NDCG-Loss2.

    Args:
        form: ``"ndcg2++"`` (default), ``"ndcg2"`` or ``"ndcg1"``.
        mu: μ ≥ 0, for ``"ndcg2++"`` only.
        gains, cutoff, sigma: as for ``LambdaRank``.

    Raises:
        ConfigError: unknown form or gains, negative μ, a cutoff below 1, σ that is not above 0.
        DataError: labels that are no grades, or whose gains overflow.

    Source: X. Wang, C. Li, N. Golbandi, M. Bendersky, M. Najork, The LambdaLoss Framework for Ranking Metric
    Optimization, CIKM 2018, section 5 (NDCG-Loss1, NDCG-Loss2, NDCG-Loss2++).

    >>> import torch
    >>> LambdaLoss("ndcg2")(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # (1 − 1/log2 3) log 2
    tensor(0.2558)
    """

    def __init__(
        self,
        form: str = "ndcg2++",
        mu: float = 10.0,
        gains: str = "exponential",
        cutoff: int | None = None,
        sigma: float = 1.0,
        reduction: str = "mean",
    ):
        forms = {"ndcg1": RankWeights, "ndcg2": GapWeights, "ndcg2++": GapAndDeltaWeights}
        if form not in forms:
            raise ConfigError(
                f"LambdaLoss: form must be one of {', '.join(forms)}, got {form!r}; {suggestion(str(form), forms)}"
            )
        if isinstance(mu, bool) or not isinstance(mu, numbers.Real) or not 0 <= mu < float("inf"):
            raise ConfigError(f"LambdaLoss: mu must be a finite number, not negative, got {mu!r}")
        weights = GapAndDeltaWeights(gains, cutoff, float(mu)) if form == "ndcg2++" else forms[form](gains, cutoff)
        super().__init__(weights, sigma, reduction)
        self.form, self.mu, self.gains, self.cutoff = form, float(mu), gains, cutoff
