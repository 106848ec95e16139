"""Selective losses over pairs: sensitive to score differences, or to the score level at which documents differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltr.errors import ConfigError
from ltr.links import Identity, Link
from ltr.links.autograd import wide
from ltr.losses.base import Laws, Loss, has_pair, increasing, real, refuse
from ltr.losses.engines.pairs import logistic, pair_sums
from ltr.losses.pair_weights import Columns, PairWeights, Uniform
from ltr.losses.running import RunningCenter
from ltr.losses.targets import Scores, Targets, fitting

UNIFORM = Uniform()
SCORES = Scores()
PLAIN = Identity()

#: pairs whose link is evaluated at once on the CPU: few enough that the numbers on the way take less memory than malloc
#: keeps between calls (1.2 x against 1 << 16, where half of it is fetched anew each time), and more than the 1 << 15
#: from which torch shares them among threads
IN_CACHE = 5 << 13


def weighting(owner: str, weights: Any) -> PairWeights:
    """``weights``, when they are pair weights; a ConfigError that names ``owner`` otherwise."""
    if not isinstance(weights, PairWeights):
        raise ConfigError(
            f"{owner}: pair_weights must be an object such as Uniform(), GradeDifference() or DeltaNDCG(), got {weights!r}"
        )
    return weights


class PairLoss(Loss):
    """A loss that adds up pairs: lists contribute that have one, which is known once they are added up.

    Saves eight kernels of about fifty, in which ``contributes`` would look for pairs again.
    """

    pair_weights: PairWeights

    def paired(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Costs per list, 0 for lists without a pair, and their numbers of pairs."""
        raise NotImplementedError

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return self.paired(scores, labels, mask)[0]

    def counted(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if self.pair_weights.others:  # documents of equal labels make pairs too, but do not count as such
            return super().counted(scores, labels, mask)
        costs, n_pairs = self.paired(scores, labels, mask)
        return costs, n_pairs > 0


class CompositeContrast(PairLoss):
    """Pairs in the wrong order cost much where the transform is steep, little where it is flat.

    ``softplus(−(f(ŝᵢ) − f(ŝⱼ)))`` for every pair with ``labelᵢ > labelⱼ``, f an increasing transform of the score;
    gradients ``−σ(−d̂) f'(ŝᵢ)`` and ``+σ(−d̂) f'(ŝⱼ)`` with ``d̂ = f(ŝᵢ) − f(ŝⱼ)``. Unlike a function of the difference
    ŝᵢ − ŝⱼ, it sees at which level two documents are confused. ``Identity()`` makes it RankNet.

    Args:
        transform: where order matters, e.g. ``Exp()`` for the top, or a ``RunningCenter``.
        pair_weights: ``Uniform()`` (default), ``GradeDifference()`` or ``DeltaNDCG()``; with ``Identity()`` the last
            makes it LambdaRank.

    Raises:
        ConfigError: the transform is no link, or ``pair_weights`` no pair weights.
        DataError: labels that are no grades, where the pair weights need gains.

    Note:
        Where the transform is flat learning stops: add ``0.1 * Identity()``. Bounded below by 0.

    Source: Shamir and Warmuth, "Selective Matching Losses", arXiv 2506.04446, 2025, composite losses; two items.

    >>> from ltr.links import Identity
    >>> CompositeContrast(Identity())(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]))  # log 2
    tensor(0.6931)
    """

    def __init__(self, transform: Link | RunningCenter, pair_weights: PairWeights = UNIFORM, reduction: str = "mean"):
        super().__init__(reduction)
        name = type(self).__name__
        self.transform = increasing(name, transform)
        self.pair_weights = weighting(name, pair_weights)
        why = {"divergence": "labels say which of two documents is better, not what they score"}
        flat = isinstance(transform, Identity)
        if not flat:
            why["shift"] = "the transform fixes which scores are high"
        if pair_weights.ranks:
            why["ranks"] = "pairs are weighted by the ranks of their documents"
        smooth = getattr(transform, "smooth", True)
        if not smooth:
            why["kinks"] = "the slope of the transform jumps at its knots"
        self.laws = Laws(labels="grades", shift=flat, ranks=pair_weights.ranks, kinks=not smooth, why=why)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.pair_weights.check_labels(type(self).__name__, labels, mask)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_pair(labels, mask)

    def paired(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        # the plain identity is not worth a trip through float64, which is a third of the time on short lists
        values = scores if self.transform == PLAIN else self.transform(scores)
        return pair_sums(logistic, self.pair_weights, values, scores, labels, mask)


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
        pair_weights: ``Uniform()`` (default), ``GradeDifference()`` or ``DeltaNDCG()``, of the labels.

    Raises:
        ConfigError: no link, or a running centre (it follows scores, not differences); no pair weights; targets that
            are a distribution, or normalised dual targets on an unbounded link.
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
        super().__init__(reduction)
        if isinstance(link, nn.Module):
            raise ConfigError(
                f"DifferenceMatching: the link takes score differences, so that it cannot follow scores; got {link!r}, "
                "use the link inside it"
            )
        self.link = increasing("DifferenceMatching", link)
        self.targets = fitting("DifferenceMatching", targets, "scores", "dual")
        self.targets.check_link("DifferenceMatching", link)
        self.pair_weights = weighting("DifferenceMatching", pair_weights)
        self.dual = "scores" not in targets.readings
        why = {"divergence": "labels are values of the link, not scores"} if self.dual else {}
        if pair_weights.ranks:
            why["ranks"] = "pairs are weighted by the ranks of their documents"
        smooth = getattr(link, "smooth", True)
        if not smooth:
            why["kinks"] = "the slope of the link jumps at its knots"
        labels = "binary" if self.dual else "scores" if isinstance(targets, Scores) else "grades"
        grades = "grades" if pair_weights.grades and labels == "scores" else labels
        self.laws = Laws(
            labels=grades, divergence=not self.dual, shift=True, ranks=pair_weights.ranks, kinks=not smooth, why=why
        )

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.targets.check("DifferenceMatching", labels, mask, self.link)
        self.pair_weights.check_labels("DifferenceMatching", labels, mask)
        if self.dual and self.link.range[1] == float("inf"):
            refuse(
                f"DifferenceMatching: a label at the end of the range of {self.link!r} asks for an infinite difference, "
                "which costs infinitely much on a link without upper bound",
                labels,
                mask & self.link.inverse(self._order(labels)).isinf(),
                "keep labels inside the range, or take a bounded link",
            )

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = real(labels, mask)
        return has_pair(self._order(torch.where(mask, labels, 0)), mask)

    def paired(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        order = self._order(labels)
        wanted = torch.where(mask, self.link.inverse(order) if self.dual else order, 0)
        infinite = self.dual and not bool(wanted.isfinite().all())
        term = _Gap(self.link, infinite)
        return pair_sums(term, self.pair_weights, scores, scores, labels, mask, order, (wanted,))

    def _order(self, labels: Tensor) -> Tensor:
        """[lists, docs] finite: target scores, or values of the link, which rise with them."""
        return self.targets.dual(labels, self.link) if self.dual else self.targets.scores(labels)


@dataclass(frozen=True)
class _Gap:
    """The matching loss of a difference of two scores, and its derivative."""

    link: Any
    infinite: bool

    def __call__(self, difference: Tensor, upper: Columns, lower: Columns) -> tuple[Tensor, Tensor]:
        wanted = upper[0] - lower[0]
        if difference.device.type != "cpu" or difference.numel() <= IN_CACHE:
            return self._of(difference, wanted)
        slope = torch.empty_like(difference)
        whole = (difference.view(-1), wanted.view(-1), slope.view(-1))
        for gap, goal, pull in zip(*(t.split(IN_CACHE) for t in whole), strict=True):
            cost, found = self._of(gap, goal)
            pull.copy_(found)
            gap.copy_(cost)
        return difference, slope

    def _of(self, difference: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        if not self.infinite:
            return self.link.matched(difference, wanted)
        # two documents at the same end of the range (inf - inf) are no pair; what stands there is masked
        cost, slope = self.link.matched(difference, torch.where(wanted.isfinite(), wanted, 0))
        limit = self.link.boundary(difference, upper=True)
        pull = (self.link(wide(difference)) - self.link.range[1]).to(difference)
        return torch.where(wanted == torch.inf, limit, cost), torch.where(wanted == torch.inf, pull, slope)
