"""The pointwise selective loss: the area between a link and its value at the target."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ltr.links import Link
from ltr.losses.base import Laws, Loss, increasing
from ltr.losses.running import RunningCenter
from ltr.losses.targets import Scores, Targets, fitting

SCORES = Scores()


class Matching(Loss):
    """Score errors, weighed by where they happen: they cost much where the link is steep and little where it is flat.

    ``D_h(ŝ, s) = ∫_s^ŝ (h(z) − h(s)) dz = H(ŝ) − H(s) − (ŝ − s) h(s)`` per document, h the link and H its primitive,
    with gradient ``h(ŝ) − h(s)``: convex in the score ŝ for every link, about ``½ h'(s) (ŝ − s)²`` near the target.
    ``Identity()`` gives half the squared error. With dual targets (``Dual``, ``Positives``) a label y stands for
    ``h(s) = y``; at the end of the link's range the cost is the limit for s → ±∞, so that ``Sigmoid()`` with labels
    0 and 1 is the logistic loss.

    Args:
        link: where scores must be accurate, e.g. ``Sigmoid(center=2.0)``, or a ``RunningCenter``.
        targets: what labels mean: ``Scores()`` (default), ``Grades([...])``, ``Dual()`` or ``Positives()``.

    Raises:
        ConfigError: no link, targets that are a distribution, or normalised dual targets on an unbounded link.
        DataError: labels that the targets refuse, e.g. dual labels outside the closure of the link's range.

    Note:
        Bounded below by 0. Where a link is flat (far from a sigmoid's centre) learning stops: add ``0.1 * Identity()``.

    Source: Shamir and Warmuth, "Selective Matching Losses", arXiv 2506.04446, 2025, the definition of a scalar
    matching loss.

    >>> from ltr.links import Identity
    >>> Matching(Identity())(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]))  # (2²/2 + 0) / 2
    tensor(1.)
    """

    pointwise: ClassVar[bool] = True

    def __init__(self, link: Link | RunningCenter, targets: Targets = SCORES, reduction: str = "mean"):
        super().__init__(reduction)
        self.link = increasing("Matching", link)
        self.targets = fitting("Matching", targets, "scores", "dual")
        self.targets.check_link("Matching", link)
        why = {"shift": "where scores lie is what the link is about"}
        if "dual" in targets.readings:
            self.laws = Laws(labels="binary", why={**why, "divergence": "labels are values of the link, not scores"})
        else:
            self.laws = Laws(labels="scores" if isinstance(targets, Scores) else "grades", divergence=True, why=why)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.targets.check("Matching", labels, mask, self.link)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        if "scores" in self.targets.readings:
            return self.link.divergence(scores, self.targets.scores(labels))
        return dual_divergence(self.link, scores, self.targets.dual(labels, self.link))


def dual_divergence(link: Link | RunningCenter, scores: Tensor, values: Tensor) -> Tensor:
    """``D_h(ŝ, h⁻¹(y))`` of values y in the closure of the link's range; its limit where h⁻¹ is infinite.

    Values outside the closure (of masked documents) have a finite cost without meaning.
    """
    target = link.inverse(values)
    low, high = link.range
    at_top = ~target.isfinite() & (values >= high)
    at_bottom = ~target.isfinite() & (values <= low)
    costs = link.divergence(scores, torch.where(target.isfinite(), target, 0))
    if bool(at_top.any()):
        costs = torch.where(at_top, link.boundary(scores, upper=True), costs)
    if bool(at_bottom.any()):
        costs = torch.where(at_bottom, link.boundary(scores, upper=False), costs)
    return costs
