"""Matching losses: the area between a link and its value at the target, of scores and of score differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ltr.errors import ConfigError
from ltr.links import Link
from ltr.links.autograd import wide
from ltr.losses.base import Laws, Loss, increasing, refuse
from ltr.losses.engines.problem import PairProblem
from ltr.losses.pair_loss import UNIFORM, PairLoss
from ltr.losses.pair_weights import PairWeights
from ltr.losses.running import RunningCenter
from ltr.losses.targets import PairTargets, Scores, Targets, fitting

SCORES = Scores()

#: pairs whose link is evaluated at once on the CPU: few enough that the numbers on the way take less memory than malloc
#: keeps between calls (1.2 x against 1 << 16, where half of it is fetched anew each time), and more than the 1 << 15
#: from which torch shares them among threads
IN_CACHE = 5 << 13


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


class DifferenceMatching(PairLoss):
    """Score differences should be those of the targets, and accurate where the link is steep.

    ``D_h(ŝᵢ − ŝⱼ, sᵢ − sⱼ)`` for every pair with target scores ``sᵢ > sⱼ``, D_h the matching loss of the link h; gradient
    ``h(ŝᵢ − ŝⱼ) − h(sᵢ − sⱼ)`` to ŝᵢ, the opposite to ŝⱼ. Steep around 0: close decisions matter; steep far out: large
    gaps do. Only differences count, so that teachers on another level of scores can be matched.

    Args:
        link: which differences must be accurate.
        targets: what labels mean. ``Scores()`` (default) and ``Grades([...])`` give target scores. ``Dual(...)`` and
            ``Positives()``: a label is the value of the link at the target score; at an end of the link's range that
            score is infinite, and so is the difference: with ``Sigmoid()`` and labels 0 and 1 this is RankNet.
            ``PairTargets(...)``: margins or probabilities of pairs; then ties count too.
        pair_weights: ``Uniform()`` (default), ``GradeDifference()`` or ``DeltaNDCG()``, of the labels.

    Raises:
        ConfigError: no link, or a running centre (it follows scores, not differences); no pair weights; targets that
            are a distribution, or need a bounded link; pair weights that would leave out the ties of ``PairTargets``.
        DataError: labels that the targets or the pair weights refuse; dual labels at an end of an unbounded link's
            range, which stand for infinite differences.

    Note:
        Bounded below by 0. Labels get no gradient: a teacher is not trained along.

    Source: Shamir and Warmuth, "Selective Matching Losses", arXiv 2506.04446, 2025, matching losses on differences.

    >>> from ltr.links import Identity
    >>> DifferenceMatching(Identity())(torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # (3 − 1)² / 2
    tensor(2.)
    """

    #: the link sees differences of scores, not scores
    on_differences: ClassVar[bool] = True

    def __init__(
        self,
        link: Link,
        targets: Targets = SCORES,
        pair_weights: PairWeights = UNIFORM,
        reduction: str = "mean",
    ):
        super().__init__(pair_weights, reduction)
        if isinstance(link, nn.Module):
            raise ConfigError(
                f"DifferenceMatching: the link takes score differences, so that it cannot follow scores; got {link!r}, "
                "use the link inside it"
            )
        self.link = increasing("DifferenceMatching", link)
        self.targets = fitting("DifferenceMatching", targets, "scores", "dual", "pairs")
        self.targets.check_link("DifferenceMatching", link)
        if isinstance(targets, PairTargets):
            if pair_weights != UNIFORM:
                raise ConfigError(
                    f"DifferenceMatching: with {targets!r} pair_weights must be Uniform(), got {pair_weights!r}, which gives "
                    "tied pairs no weight; larger gaps weigh more by themselves"
                )
            self.laws = self._laws_of_pairs(targets)
            return
        why = {**self.laws.why, "divergence": "labels are values of the link, not scores"}
        if not self.dual:
            del why["divergence"]
        smooth = getattr(link, "smooth", True)
        if not smooth:
            why["kinks"] = "the slope of the link jumps at its knots"
        labels = "binary" if self.dual else "scores" if isinstance(targets, Scores) else "grades"
        grades = "grades" if pair_weights.grades and labels == "scores" else labels
        self.laws = replace(self.laws, labels=grades, divergence=not self.dual, kinks=not smooth, why=why)

    def _laws_of_pairs(self, targets: PairTargets) -> Laws:
        smooth, exact = getattr(self.link, "smooth", True), targets.gap is not None
        why = {} if exact else {"divergence": "labels say which of two documents is better, not what they score"}
        if not smooth:
            why["kinks"] = "the slope of the link jumps at its knots"
        return Laws(labels=targets.labels, divergence=exact, shift=True, kinks=not smooth, why=why)

    @property
    def dual(self) -> bool:
        """Whether labels are values of the link."""
        return "dual" in self.targets.readings

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.targets.check(type(self).__name__, labels, mask, self.link)
        super().check_labels(labels, mask)
        if self.dual and self.link.range[1] == float("inf"):
            refuse(
                f"DifferenceMatching: a label at the end of the range of {self.link!r} asks for an infinite difference, "
                "which costs infinitely much on a link without upper bound",
                labels,
                mask & self.link.inverse(self.order(labels)).isinf(),
                "keep labels inside the range, or take a bounded link",
            )

    def order(self, labels: Tensor) -> Tensor:
        """[lists, docs] finite: target scores, or values of the link, which rise with them.

        With ``PairTargets`` places in the order of labels, of which no two are equal: tied documents make a pair too.
        """
        if isinstance(self.targets, PairTargets):
            return labels.argsort(dim=-1, stable=True).argsort(dim=-1).to(labels)
        return self.targets.dual(labels, self.link) if self.dual else self.targets.scores(labels)

    def problem(self, scores: Tensor, labels: Tensor, mask: Tensor) -> PairProblem:
        order = self.order(labels)
        if isinstance(self.targets, PairTargets):
            cost = PairDivergence(self.link, self.targets.probability is not None, self.targets)
            return PairProblem(cost, self.pair_weights, scores, scores, labels, mask, order, labels)
        targets = torch.where(mask, self.link.inverse(order) if self.dual else order, 0)
        limits = self.dual and not bool(targets.isfinite().all())
        divergence = MatchingDivergence(self.link, limits)
        return PairProblem(divergence, self.pair_weights, scores, scores, labels, mask, order, targets)


@dataclass(frozen=True)
class MatchingDivergence:
    """The matching loss of a difference of two scores from that of their targets, and its derivative.

    Attributes:
        limits: differences of targets may be infinite, and cost the limit.
    """

    link: Link
    limits: bool

    def __call__(self, difference: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if difference.device.type != "cpu" or difference.numel() <= IN_CACHE:
            return self._of(difference, target)
        slope = torch.empty_like(difference)
        flat = (difference.view(-1), target.view(-1), slope.view(-1))
        for some, their_target, their_slope in zip(*(t.split(IN_CACHE) for t in flat), strict=True):
            cost, derivative = self._of(some, their_target)
            their_slope.copy_(derivative)
            some.copy_(cost)
        return difference, slope

    def _of(self, difference: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if not self.limits:
            return self.link.matched(difference, target)
        # two documents at the same end of the range (inf - inf) are no pair; what stands there is masked
        cost, slope = self.link.matched(difference, torch.where(target.isfinite(), target, 0))
        limit = self.link.boundary(difference, upper=True)
        slope_of_limit = (self.link(wide(difference)) - self.link.range[1]).to(difference)
        return torch.where(target == torch.inf, limit, cost), torch.where(target == torch.inf, slope_of_limit, slope)


@dataclass(frozen=True)
class PairDivergence(MatchingDivergence):
    """The matching loss of a difference of two scores from what ``PairTargets`` make of the difference of two labels.

    Differences are those of the better document from the other. For ties there is no better one: the mean of both ways.
    """

    targets: PairTargets

    def _of(self, difference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        cost, slope = super()._of(difference, self.targets.difference(labels.clamp(min=0), self.link))
        tied = labels == 0
        back, slope_back = self.link.matched(-difference, torch.zeros_like(difference))
        return torch.where(tied, (cost + back) / 2, cost), torch.where(tied, (slope - slope_back) / 2, slope)
