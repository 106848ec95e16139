"""What labels mean: target scores, grades, values of the link, or a distribution over the list."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.losses.base import as_temperature, has_positive, has_two, positive, refuse
from ltr.losses.engines.row_blocks import Rows
from ltr.losses.engines.softmax import log_normalised, log_softmax
from ltr.losses.gains import check_gains, check_grades, gain

#: what a loss may read a target as -> how an error message says it
READINGS = {
    "scores": "target scores",
    "dual": "values of the link",
    "distribution": "a distribution over the list",
    "pairs": "differences of pairs",
}


class Targets:
    """What the labels of a list mean. A loss names the readings it needs; a target object says which it has.

    ``scores(labels)`` gives target scores, ``dual(labels, link)`` values in the link's range and
    ``distribution(labels, mask, transform)`` probabilities over each list. Target objects are frozen dataclasses; this
    base is a plain class, so that configurations name the kind by its class path.
    """

    #: the names in READINGS that this object can be read as
    readings: ClassVar[frozenset[str]] = frozenset()
    #: whether labels above 0 are good, all alike, and others bad
    good_or_bad: ClassVar[bool] = False

    def check(self, owner: str, labels: Tensor, mask: Tensor, link: Any = None) -> None:
        """Raise DataError, in the name of ``owner``, for real labels that this object cannot read. Default: takes all."""

    def check_link(self, owner: str, link: Any) -> None:
        """Raise ConfigError for a link that this object cannot be read with. Default: takes all."""

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """[lists] bool: lists whose distribution can teach something. Default: those with two documents."""
        return has_two(labels, mask)

    def scores(self, labels: Tensor) -> Tensor:
        """Target scores, of the labels' shape."""
        raise NotImplementedError

    def dual(self, labels: Tensor, link: Any) -> Tensor:
        """Target values of the link, of the labels' shape."""
        raise NotImplementedError

    def shares(self, labels: Tensor) -> Tensor | None:
        """What each document has of the target distribution by its own label, before they are brought to sum 1.

        None (the default) where documents of label 0 have a share, too, or where it depends on others.
        """
        return None

    def log_distribution(self, labels: Tensor, mask: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
        """Logarithm of ``distribution``, -inf where it is 0. Default: log softmax of the transformed target scores."""
        return log_softmax(transform(self.scores(labels)), mask).masked_fill(~mask, -torch.inf)

    def distribution(self, labels: Tensor, mask: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
        """Target probabilities [lists, docs]: they sum to 1 over the real documents and are 0 elsewhere."""
        return self.log_distribution(labels, mask, transform).exp()


@dataclass(frozen=True)
class Scores(Targets):
    """Labels are target scores, in the unit of the model's scores: teacher scores, transformed dwell times, ratings.

    As a distribution: ``softmax(f(labels))`` with the loss's transform f, so that the loss is zero at the target.

    >>> Scores().scores(torch.tensor([1.5, -2.0]))
    tensor([ 1.5000, -2.0000])
    """

    readings: ClassVar[frozenset[str]] = frozenset({"scores", "distribution"})

    def scores(self, labels: Tensor) -> Tensor:
        return labels


@dataclass(frozen=True)
class Grades(Targets):
    """Labels are grades 0, 1, 2 …; ``scores[grade]`` is the target score of each.

    As a distribution: ``softmax(f(scores[label]))`` with the loss's transform f.

    Args:
        scores_by_grade: target score of grade 0, 1, 2 …, in the unit of the model's scores, never falling.

    Raises:
        ConfigError: fewer than two grades, or scores that fall or are not finite.
        DataError: a label that is none of the grades, with its place.

    >>> Grades([-1.0, 0.0, 3.0]).scores(torch.tensor([2.0, 0.0]))
    tensor([ 3., -1.])
    """

    readings: ClassVar[frozenset[str]] = frozenset({"scores", "distribution"})

    scores_by_grade: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0)

    def __post_init__(self):
        scores = tuple(float(s) for s in self.scores_by_grade)
        if len(scores) < 2 or not all(map(math.isfinite, scores)) or list(scores) != sorted(scores):
            raise ConfigError(
                f"Grades: scores_by_grade must be two or more finite scores that never fall, one per grade from 0, got {list(scores)}"
            )
        object.__setattr__(self, "scores_by_grade", scores)

    def check(self, owner: str, labels: Tensor, mask: Tensor, link: Any = None) -> None:
        top = len(self.scores_by_grade) - 1
        refuse(
            f"{owner}: labels must be grades 0 to {top}, as {self} maps them",
            labels,
            mask & ((labels < 0) | (labels > top) | (labels != labels.round())),
            "give scores_by_grade one score per grade",
        )

    def scores(self, labels: Tensor) -> Tensor:
        # the scores of whole grades need not be whole
        dtype = torch.float64 if labels.dtype == torch.float64 else torch.float32
        return torch.tensor(self.scores_by_grade, dtype=dtype, device=labels.device)[labels.long()]


@dataclass(frozen=True)
class Dual(Targets):
    """Labels are values of the link: label y asks for the score s with ``h(s) = y``. For the sigmoid: probabilities.

    Args:
        normalised: labels in [0, 1] are spread over the link's whole range, ``y ↦ low + y (high − low)``, so that a
            scaled or summed sigmoid keeps its logistic behaviour. Needs a link that is bounded on both sides.

    Raises:
        ConfigError: normalised with a link that is unbounded on a side.
        DataError: a label outside the closure of the link's range (of [0, 1] when normalised), with its place.

    >>> from ltr.links import Sigmoid
    >>> Dual(normalised=True).dual(torch.tensor([0.0, 0.5, 1.0]), Sigmoid(scale=4.0))
    tensor([0., 2., 4.])
    """

    readings: ClassVar[frozenset[str]] = frozenset({"dual"})

    normalised: bool = False

    def check_link(self, owner: str, link: Any) -> None:
        if self.normalised:
            _refuse_unbounded(owner, self, link)

    def check(self, owner: str, labels: Tensor, mask: Tensor, link: Any = None) -> None:
        low, high = (0.0, 1.0) if self.normalised else link.range
        what = "normalised labels" if self.normalised else f"labels as values of {link!r}"
        advice = "map labels into the range, Dual(normalised=True) maps [0, 1], or use Scores() or Grades(…)"
        refuse(
            f"{owner}: {what} must lie in [{low:g}, {high:g}]",
            labels,
            mask & ((labels < low) | (labels > high)),
            advice,
        )

    def dual(self, labels: Tensor, link: Any) -> Tensor:
        if not self.normalised:
            return labels
        low, high = link.range
        # the ends exactly: low + 1 * (high - low) may miss high by a rounding
        return torch.where(labels >= 1, high, torch.where(labels <= 0, low, low + labels * (high - low)))


@dataclass(frozen=True)
class Gains(Targets):
    """Labels are grades, and the target distribution is proportional to their gains.

    Args:
        gains: ``"exponential"`` for 2^grade − 1, ``"linear"`` for the grade itself.

    Raises:
        DataError: a grade below 0, or one whose gain would overflow, with its place.

    >>> Gains().distribution(torch.tensor([[0.0, 1.0, 2.0]]), torch.ones(1, 3, dtype=torch.bool), None)
    tensor([[0.0000, 0.2500, 0.7500]])
    """

    readings: ClassVar[frozenset[str]] = frozenset({"distribution"})

    gains: str = "exponential"

    def __post_init__(self):
        check_gains("Gains", self.gains)

    def check(self, owner: str, labels: Tensor, mask: Tensor, link: Any = None) -> None:
        check_grades(owner, labels, mask, self.gains)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask) & has_positive(labels, mask)

    def shares(self, labels: Tensor) -> Tensor:
        return gain(labels, self.gains)

    def log_distribution(self, labels: Tensor, mask: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
        return log_normalised(self.shares(labels), mask)


@dataclass(frozen=True)
class LabelSoftmax(Targets):
    """The target distribution is ``softmax(labels / temperature)``, whatever the loss's transform (ListNet's target).

    Args:
        temperature: above 0; small values put all weight on the best labels.

    >>> LabelSoftmax().distribution(torch.tensor([[0.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool), None)
    tensor([[0.5000, 0.5000]])
    """

    readings: ClassVar[frozenset[str]] = frozenset({"distribution"})

    temperature: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "temperature", as_temperature("LabelSoftmax", self.temperature))

    def log_distribution(self, labels: Tensor, mask: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
        return log_softmax(labels / self.temperature, mask).masked_fill(~mask, -torch.inf)


@dataclass(frozen=True)
class Positives(Targets):
    """Labels above 0 are relevant, all alike: a uniform distribution over them, or the top of the link's range (1 or 0).

    >>> Positives().distribution(torch.tensor([[0.0, 3.0, 1.0]]), torch.ones(1, 3, dtype=torch.bool), None)
    tensor([[0.0000, 0.5000, 0.5000]])
    """

    readings: ClassVar[frozenset[str]] = frozenset({"distribution", "dual"})
    good_or_bad: ClassVar[bool] = True

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask) & has_positive(labels, mask)

    def check_link(self, owner: str, link: Any) -> None:
        _refuse_unbounded(owner, self, link)

    def dual(self, labels: Tensor, link: Any) -> Tensor:
        return Dual(normalised=True).dual((labels > 0).to(labels), link)

    def shares(self, labels: Tensor) -> Tensor:
        return (labels > 0).to(labels)

    def log_distribution(self, labels: Tensor, mask: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
        return log_normalised(self.shares(labels), mask)


@dataclass(frozen=True)
class PairTargets(Targets):
    """Labels say of each pair of documents how far apart their scores should be, or how often the better one wins.

    Tied pairs count: what two documents with equal labels should be is equal, and they cost
    ``½ [D_h(d, 0) + D_h(−d, 0)]`` at a difference d of their scores, which is 0 at d = 0 alone.

    Args:
        gap: the target difference of two documents whose labels differ by 1: ``sᵢ − sⱼ = gap · (yᵢ − yⱼ)``. Labels are
            ratings, strengths or margins; with labels 1 and 0 it is one margin for all pairs.
        probability: instead of a gap: a number from above ½ to 1, with which the better of any two documents wins (a half
            for ties), or ``"votes"``: labels are shares of votes in [0, 1], and the first of a pair wins with probability
            ``½ + ½ (yᵢ − yⱼ)``. It is spread over the range of the link, whose value at the target difference it is; at 1
            the difference is infinite and costs the limit, with ``Sigmoid()`` the logistic loss.

    Raises:
        ConfigError: both or none of the two, a gap that is not above 0, a probability that is not as above; below 1 or
            with votes a link that is not bounded on both sides, at 1 one that is not bounded above.
        DataError: votes outside [0, 1], with their place.

    >>> PairTargets(gap=0.5).difference(torch.tensor([0.0, 3.0]), None)
    tensor([0.0000, 1.5000])
    """

    readings: ClassVar[frozenset[str]] = frozenset({"pairs"})

    gap: float | None = None
    probability: float | str | None = None

    def __post_init__(self):
        if (self.gap is None) == (self.probability is None):
            raise ConfigError(
                f"PairTargets: needs either gap or probability, got gap={self.gap!r} and probability={self.probability!r}"
            )
        if self.gap is not None:
            object.__setattr__(self, "gap", positive("PairTargets", "gap", self.gap))
        elif (p := self.probability) is not None and p != "votes":
            if isinstance(p, (str, bool)) or not 0.5 < p <= 1:
                raise ConfigError(f"PairTargets: probability must lie above 0.5 and up to 1, or be 'votes', got {p!r}")
            object.__setattr__(self, "probability", float(p))

    @property
    def labels(self) -> str:
        """What labels it takes, as ``Laws.labels`` says it."""
        return "scores" if self.gap is not None else "binary" if self.probability == "votes" else "grades"

    def check_link(self, owner: str, link: Any) -> None:
        if self.gap is not None:
            return
        if self.probability != 1:
            _refuse_unbounded(owner, self, link)
        elif math.isinf(link.range[1]):
            raise ConfigError(
                f"{owner}: {self!r} asks for infinite differences, which cost infinitely much on a link without upper bound; "
                f"{link!r} ranges over ({link.range[0]:g}, {link.range[1]:g}); use a gap, or Sigmoid or ReverseExp"
            )

    def check(self, owner: str, labels: Tensor, mask: Tensor, link: Any = None) -> None:
        if self.probability == "votes":
            refuse(
                f"{owner}: labels must be shares of votes in [0, 1], as {self!r} reads them",
                labels,
                mask & ((labels < 0) | (labels > 1)),
                "divide votes by their number, or use PairTargets(gap=…)",
            )

    def scores(self, labels: Tensor) -> Tensor:
        """Scores with the target differences; for a gap alone."""
        assert self.gap is not None
        return self.gap * labels

    def difference(self, labels: Tensor, link: Any) -> Tensor:
        """Target differences of pairs whose labels differ by these, none negative: 0 for ties, infinite for certainty."""
        if self.gap is not None:
            return self.gap * labels
        low, high = link.range
        if self.probability == 1:
            return torch.where(labels > 0, torch.inf, 0).to(labels)
        if self.probability == "votes":
            # the end exactly: low + 1 * (high - low) may miss high by a rounding
            value = torch.where(labels >= 1, high, low + (0.5 + 0.5 * labels.clamp(0, 1)) * (high - low))
            return torch.where(labels > 0, link.inverse(value), 0).to(labels)
        target = link.inverse(low + float(self.probability or 0) * (high - low))
        return torch.where(labels > 0, target.to(labels), 0)


def _refuse_unbounded(owner: str, targets: Targets, link: Any) -> None:
    low, high = link.range
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(
            f"{owner}: {targets!r} needs a link that is bounded on both sides, such as Sigmoid or Tanh without an "
            f"Identity part; {link!r} ranges over ({low:g}, {high:g}); use Dual() with labels in that range, or Scores()"
        )


def fitting(owner: str, targets: Targets, *readings: str) -> Targets:
    """``targets``, when it has one of the ``readings``; a ConfigError that names those which fit otherwise."""
    if isinstance(targets, type):
        raise ConfigError(
            f"{owner}: targets needs an object, got the class {targets.__name__}; write {targets.__name__}()"
        )
    if not isinstance(targets, Targets) or not targets.readings & set(readings):
        known = (Scores, Grades, Dual, Gains, LabelSoftmax, Positives, PairTargets)
        fit = ", ".join(t.__name__ for t in known if t.readings & set(readings))
        need = " or ".join(READINGS[r] for r in readings)
        raise ConfigError(f"{owner}: targets must be readable as {need} ({fit}), got {targets!r}")
    return targets


def entry_shares(targets: Targets, owner: str, rows: Rows) -> Tensor | None:
    """[entries] shares of a block's entries in the target; None where documents of other lists have some, too.

    Raises DataError, in the name of ``owner``, for labels that the targets cannot read.
    """
    parts = targets.shares(rows.labels)
    if parts is not None:
        targets.check(owner, rows.labels[None], torch.ones_like(rows.labels, dtype=torch.bool)[None])
    return parts
