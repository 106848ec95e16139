"""Losses as a user would write them outside ``ltr``: they stand in the contract suite beside those of ``ltr``."""

from __future__ import annotations

from ltr.losses import Laws, Loss, PairLoss, PairWeights, Uniform


class SquaredHinge(PairLoss):
    """The square of what a pair misses of a margin.

    Source: this test.

    >>> SquaredHinge()  # doctest: +SKIP
    """

    def __init__(self, margin: float = 1.0, pair_weights: PairWeights = Uniform(), reduction: str = "mean"):  # noqa: B008
        super().__init__(pair_weights, reduction)
        self.margin = margin

    def pair_cost(self, difference):
        missing = (self.margin - difference).clamp(min=0)
        return missing**2, -2 * missing


class Absolute(Loss):
    """The size of each score's error.

    Source: this test.

    >>> Absolute()  # doctest: +SKIP
    """

    pointwise = True
    laws = Laws(labels="scores", divergence=True, kinks=True, why={"shift": "targets", "kinks": "at the target"})

    def costs(self, scores, labels, mask):
        return (scores - labels).abs()
