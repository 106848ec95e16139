"""How much a pair counts: weights as values, which the engines multiply the costs of pairs by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ltr.losses.gains import check_cutoff, check_gains, check_grades, normalised_gains, rank_discounts, ranks

#: numbers per document [lists, docs] that a block of pairs is made from
Columns = tuple[Tensor, ...]


class PairWeights:
    """How much each pair (i, j) of a list counts, and whether the weighted sum becomes a mean.

    The pairs are those in which document i should be above document j. Weights carry no gradient.
    """

    #: the sum over pairs is divided by the sum of weights
    mean: ClassVar[bool] = True
    #: weights depend on the ranks, and so jump where two scores change places
    ranks: ClassVar[bool] = False
    #: labels must be grades, since they have a gain
    grades: ClassVar[bool] = False
    #: every document with a positive label pairs with every other one, not only with those below it
    others: ClassVar[bool] = False

    def check_labels(self, owner: str, labels: Tensor, mask: Tensor) -> None:
        """Raise DataError for labels that cannot be weighted."""

    def columns(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Columns:
        """What the weights are made from: numbers per document [lists, docs]."""
        return ()

    def weigh(self, upper: Columns, lower: Columns) -> Tensor | None:
        """Weights of a block of pairs from the columns of its upper and lower documents; None: all are 1."""
        return None


@dataclass(frozen=True)
class Uniform(PairWeights):
    """Every pair counts the same: the cost of a list is the mean over its pairs."""


@dataclass(frozen=True)
class GradeDifference(PairWeights):
    """A pair counts by how far its labels lie apart: the mean over pairs weighted with label_i - label_j."""

    def columns(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Columns:
        return (labels,)

    def weigh(self, upper: Columns, lower: Columns) -> Tensor:
        return upper[0] - lower[0]


@dataclass(frozen=True)
class GainWeights(PairWeights):
    """Pair weights made from gains and ranks; they are divided by the ideal DCG already, so that pairs are summed.

    Args:
        gains: ``"exponential"`` for 2^grade - 1, ``"linear"`` for the grade.
        cutoff: pairs count whose upper *or* lower document stands in the first ``cutoff`` ranks (None: all pairs), and
            the ideal DCG is that of the first ``cutoff`` ranks.

    Raises:
        ConfigError: unknown gains; a cutoff below 1.
    """

    gains: str = "exponential"
    cutoff: int | None = None

    mean: ClassVar[bool] = False
    ranks: ClassVar[bool] = True
    grades: ClassVar[bool] = True

    def __post_init__(self):
        check_gains(type(self).__name__, self.gains)
        check_cutoff(type(self).__name__, self.cutoff)

    def check_labels(self, owner: str, labels: Tensor, mask: Tensor) -> None:
        check_grades(owner, labels, mask, self.gains)

    def columns(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Columns:
        return normalised_gains(labels, mask, self.gains, self.cutoff), ranks(scores, mask)


@dataclass(frozen=True)
class DeltaNDCG(GainWeights):
    """A pair counts by how much nDCG changes when its two documents swap their present ranks.

    |G_i - G_j| · |D(r_i) - D(r_j)| with gains G divided by the ideal DCG, ranks r and discounts D(r) = 1/log2(1 + r),
    D = 0 below the cutoff: so a relevant document below the cutoff still pulls on those above it.

    Source: C. Burges, R. Ragno, Q. Le, Learning to Rank with Nonsmooth Cost Functions, NIPS 2006, section 6.
    """

    def columns(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Columns:
        discounts, share = rank_discounts(scores, mask, self.cutoff)
        return normalised_gains(labels, mask, self.gains, self.cutoff, share), discounts

    def weigh(self, upper: Columns, lower: Columns) -> Tensor:
        return (upper[0] - lower[0]).mul_((upper[1] - lower[1]).abs_())
