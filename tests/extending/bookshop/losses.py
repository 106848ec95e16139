"""A loss over documents and a loss over pairs."""

from bookshop.links import Arctan

from ltr.links import Link
from ltr.losses import Loss, PairLoss


class Sold(Loss):
    """A matching loss with a link of one's own: the mean over documents of the area under the link."""

    pointwise = True

    def __init__(self, link: Link = Arctan(), reduction: str = "mean"):  # noqa: B008 (a value, never changed)
        super().__init__(reduction)
        self.link = link

    def costs(self, scores, labels, mask):
        return self.link.divergence(scores, labels)


class Squeezed(PairLoss):
    """(margin - difference)² where a pair is nearer than the margin."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.margin = margin

    def pair_cost(self, difference):
        missing = (self.margin - difference).clamp(min=0)
        return missing**2, -2 * missing
