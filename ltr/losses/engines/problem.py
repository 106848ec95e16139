"""What is to be added up over the pairs of documents of each list, as one value that every engine takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr.errors import ShapeError
from ltr.losses.pair_weights import Columns, PairWeights

#: difference of two values -> cost of the pair and its derivative by the difference, which may be overwritten; where
#: there are targets, their difference is the second argument
PairCost = Callable[..., tuple[Tensor, Tensor]]
#: [lists] costs, [lists, docs] their gradient towards the values (None where nobody asks), [lists] how many pairs
PairSums = tuple[Tensor, Tensor | None, Tensor]


@dataclass(frozen=True, eq=False)
class PairProblem:
    """The weighted sum or mean over the pairs (i, j) of each list with order_i > order_j of what they cost.

    Attributes:
        pair_cost: the cost of a pair from the difference of its values.
        weights: how the pairs of a list are weighted.
        values: [lists, docs] what a pair's difference is taken of; the gradient goes there.
        scores: [lists, docs] what documents are ranked by, where the weights need ranks.
        labels: [lists, docs] what the weights read.
        mask: [lists, docs] True where there is a document.
        order: [lists, docs] finite, which of two documents should be above.
        targets: [lists, docs] what the differences of the values are compared with, where they are.
        finite: every finite difference has a finite cost, so that those which make no pair need no care.
    """

    pair_cost: PairCost
    weights: PairWeights
    values: Tensor
    scores: Tensor
    labels: Tensor
    mask: Tensor
    order: Tensor
    targets: Tensor | None = None
    finite: bool = False

    @property
    def with_gradient(self) -> bool:
        """Whether the gradient towards the values is wanted."""
        return self.values.requires_grad

    def weight_columns(self) -> Columns:
        """What the weights are made from."""
        return self.weights.columns(self.scores.detach(), self.labels, self.mask)

    def costs(self, difference: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
        """Costs and slopes of some pairs, which may be overwritten.

        Raises:
            ShapeError: the cost function returns something else than two numbers for each difference.
        """
        shape, dtype = difference.shape, difference.dtype
        returned = self.pair_cost(difference) if target is None else self.pair_cost(difference, target)
        try:
            cost, slope = returned
            fit = cost.shape == shape == slope.shape and cost.dtype == dtype == slope.dtype
        except (TypeError, ValueError, AttributeError):  # no two tensors
            fit = False
        if not fit:
            name = getattr(self.pair_cost, "__qualname__", type(self.pair_cost).__name__)
            each = returned if isinstance(returned, (tuple, list)) else (returned,)
            got = ", ".join(f"{t.dtype} {list(t.shape)}" if isinstance(t, Tensor) else repr(t) for t in each)
            raise ShapeError(
                f"{name}: must return (cost, slope), two tensors {dtype} {list(shape)} like the differences, got ({got})"
            )
        # one number for all, or a cost that is its own derivative: each number needs a place in memory
        if not cost.is_contiguous():
            cost = cost.contiguous()
        if not slope.is_contiguous() or cost.data_ptr() == slope.data_ptr():
            slope = slope.clone(memory_format=torch.contiguous_format)
        return cost, slope
