"""The base of all losses over pairs of documents, one's own included: a cost of score differences, added up by an engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.losses.base import Laws, Loss, has_pair, real
from ltr.losses.engines.pairs import pair_sums
from ltr.losses.engines.problem import PairProblem
from ltr.losses.pair_weights import PairWeights, Uniform

UNIFORM = Uniform()


class PairLoss(Loss):
    """A cost for each pair of documents of which one should be above the other, as a function of their difference.

    One's own defines ``pair_cost`` and gets the rest: masks, weights, reductions, lists without a pair, sums in bounded
    memory, and on GPUs compiled kernels (where its function cannot be compiled a warning says so, and blocks of pairs
    are added up instead). It may also say of which ``values`` differences are taken, and which ``order`` is wanted.

    Args:
        pair_weights: how much each pair of a list counts, and whether their sum becomes a mean: ``Uniform()`` (default),
            ``GradeDifference()`` or ``DeltaNDCG()``.

    Raises:
        ConfigError: no pair weights, or a class that defines no cost.

    Note:
        Costs and slopes are computed together, without autograd: what ``pair_cost`` reads gets no gradient, and gradients
        cannot be differentiated again.

    >>> class Squared(PairLoss):
    ...     def pair_cost(self, difference):
    ...         missing = (1 - difference).clamp(min=0)
    ...         return missing**2, -2 * missing
    >>> Squared()(torch.tensor([[0.5, 0.0]]), torch.tensor([[1.0, 0.0]]))  # (1 − 0.5)²
    tensor(0.2500)
    """

    laws = Laws(shift=True, why={"divergence": "labels say which of two documents is better, not what they score"})
    #: every finite difference has a finite cost; where that is not said, differences that make no pair are set to 0
    finite: ClassVar[bool] = False

    def __init__(self, pair_weights: PairWeights = UNIFORM, reduction: str = "mean"):
        super().__init__(reduction)
        kind = type(self)
        if kind.pair_cost is PairLoss.pair_cost and kind.problem is PairLoss.problem:
            raise ConfigError(
                f"{kind.__name__}: a PairLoss must define pair_cost(self, difference), which returns the cost of each pair "
                "and its derivative by the difference"
            )
        self.pair_weights = weighting(kind.__name__, pair_weights)
        if pair_weights.ranks:
            why = {**self.laws.why, "ranks": "pairs are weighted by the ranks of their documents"}
            self.laws = replace(self.laws, ranks=True, why=why)

    def pair_cost(self, difference: Tensor) -> tuple[Tensor, Tensor]:
        """The cost of each pair and its derivative by the difference, element by element.

        Args:
            difference: how far the upper document's value is above the lower's, of any shape; may be overwritten.
        """
        raise NotImplementedError

    def values(self, scores: Tensor) -> Tensor:
        """[lists, docs] what differences are taken of: finite, with a gradient towards the scores. Default: the scores."""
        return scores

    def order(self, labels: Tensor) -> Tensor:
        """[lists, docs] finite: the larger of two should be above, equal ones make no pair. Default: the labels."""
        return labels

    def problem(self, scores: Tensor, labels: Tensor, mask: Tensor) -> PairProblem:
        """What the engines add up. A loss whose cost also depends on differences of targets puts them in here."""
        values, order = self.values(scores), self.order(labels)
        return PairProblem(self.pair_cost, self.pair_weights, values, scores, labels, mask, order, finite=self.finite)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.pair_weights.check_labels(type(self).__name__, labels, mask)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = real(labels, mask)
        return has_pair(self.order(torch.where(mask, labels, 0)), mask)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return pair_sums(self.problem(scores, labels, mask))[0]

    def counted(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if self.pair_weights.others:  # documents of equal labels make pairs too, but do not count as such
            return super().counted(scores, labels, mask)
        # to look for pairs again takes eight kernels of about fifty
        costs, n_pairs = pair_sums(self.problem(scores, labels, mask))
        return costs, n_pairs > 0


def weighting(owner: str, weights: Any) -> PairWeights:
    """``weights``, when they are pair weights; a ConfigError that names ``owner`` otherwise."""
    if not isinstance(weights, PairWeights):
        raise ConfigError(
            f"{owner}: pair_weights must be an object such as Uniform(), GradeDifference() or DeltaNDCG(), got {weights!r}"
        )
    return weights
