"""Warnings of a training that learns little: its link is steep where no scores are, or its lists have nothing to tell apart."""

from __future__ import annotations

import logging

import torch

from ltr.data.base import RankingData
from ltr.data.preferences.preference_data import PreferenceData
from ltr.losses.base import Loss
from ltr.losses.composite import CompositeContrast, CompositeSoftmax
from ltr.losses.listwise import InfoNCE, SoftmaxCE
from ltr.losses.running import RunningCenter, center_of, held, transform_of

log = logging.getLogger(__name__)

#: a warning comes once what is wrong has lasted for so many optimiser steps
STEPS = 20
#: how far a centre may lie below the positives' mean before that counts
MARGIN = 0.05


#: scores far below all others
FAR_DOWN = -1e6


def drifts(loss: Loss) -> bool:
    """Whether a loss orders better the higher all scores of a list are, without end.

    So does a convex transform that is flat far down: the same differences of scores are larger differences further up. Labels
    that are target scores hold them back, a running centre follows them, and a share of ``Identity()`` asks for them further
    down, too.

    >>> from ltr.links import Exp, Identity, Softplus
    >>> drifts(CompositeContrast(Exp())), drifts(CompositeContrast(Identity() + Softplus()))
    (True, False)
    """
    transform = transform_of(loss)
    relative = isinstance(loss, (CompositeContrast, CompositeSoftmax)) and not loss.laws.divergence
    if not relative or transform is None or isinstance(transform, RunningCenter) or not transform.convex:
        return False
    return float(transform.slope(torch.tensor(FAR_DOWN, dtype=torch.float64))) < 1e-3


def tell_of_drift(loss: Loss, data: RankingData) -> None:
    """Warn of rewards that would rise without end: see ``drifts``."""
    if isinstance(data, PreferenceData) and drifts(loss):
        transform = transform_of(loss)
        log.warning(
            "%s: by %r the same order of responses costs less the higher all of them score, so that rewards drift upwards, and "
            "mean nothing from one prompt to the next; take RunningCenter(%r), or add Identity() to it",
            *(type(loss).__name__, transform, transform),
        )


#: a loss that cannot fall below this share of what it is where all scores are equal has scores that are too near
TOO_NEAR = 0.25
#: losses by the softmax of a list
SOFTMAX = (InfoNCE, SoftmaxCE, CompositeSoftmax)


@torch.no_grad()
def reach(loss: Loss, n_docs: int) -> tuple[float, float]:
    """(what a loss is where one relevant document has cosine 1 and all others -1, what it is where all are equal).

    >>> from ltr.losses import InfoNCE
    >>> [round(cost, 2) for cost in reach(InfoNCE(), 64)]
    [2.25, 4.16]
    """
    device = next((buffer.device for buffer in loss.buffers()), torch.device("cpu"))
    best, labels = torch.full((1, n_docs), -1.0, device=device), torch.zeros(1, n_docs, device=device)
    best[0, 0] = labels[0, 0] = 1
    with held(loss):
        return tuple(float(loss(scores, labels).sum()) for scores in (best, torch.zeros_like(best)))  # type: ignore[return-value]


class LinkWatch:
    """Looks at the link or transform of a loss, and at what it learns from, step by step; warns once of each kind of trouble.

    Args:
        loss: whose link is looked at; a loss without one gives no warnings.
    """

    def __init__(self, loss: Loss):
        self.loss = loss
        #: steps in a row; -1 once it was told
        self._dead_steps = self._low_steps = self._idle_steps = 0
        self._cosines_seen = False

    @property
    def sees(self) -> bool:
        """Whether the loss has a link on scores."""
        return transform_of(self.loss) is not None

    def center(self, level: float) -> None:
        """Warn when the link is centred below the positives of in-batch training, whose mean score is ``level``."""
        transform = transform_of(self.loss)
        if self._low_steps < 0 or transform is None:
            return
        low = center_of(transform)
        self._low_steps = self._low_steps + 1 if low is not None and low < level - MARGIN else 0
        if self._low_steps >= STEPS:
            self._low_steps = -1
            log.warning(
                "%r is centred at %.3f, below the positives' mean score of %.3f, for %d steps now: among the negatives of a "
                "batch steepness costs nDCG. Move the center up, or take RunningCenter(of='positives').",
                *(transform, low, level, STEPS),
            )

    def cosines(self, n_docs: int) -> None:
        """Warn when scores that are cosines are too near to each other for a softmax over so many documents."""
        if self._cosines_seen or not isinstance(self.loss, SOFTMAX):
            return
        self._cosines_seen = True
        least, equal = reach(self.loss, n_docs)
        if least > TOO_NEAR * equal:
            log.warning(
                "%s: cosines lie from -1 to 1, so that over %d documents it cannot fall below %.3g of the %.3g that it is where all "
                "are equal, however good they are; lower its temperature or the width of its link (0.05 is usual), or set "
                "model.scorer.scaled=true",
                *(type(self.loss).__name__, n_docs, least, equal),
            )

    def lists(self, count: float) -> None:
        """Warn when steps learn nothing; ``count``: lists of a step that contribute."""
        if self._idle_steps >= 0:
            self._idle_steps = 0 if count else self._idle_steps + 1
            if self._idle_steps >= STEPS:
                self._tell_of_idleness()

    def epoch_over(self, steps: int) -> None:
        """Warn at the end of an epoch of so many steps when none of them learnt anything."""
        if 0 < steps <= self._idle_steps:
            self._tell_of_idleness()

    def _tell_of_idleness(self) -> None:
        log.warning(
            "%s: nothing was learnt in the last %d steps: no list of them has documents that this loss tells apart. Look at their labels "
            "(ltr data check); with sampling.in_batch, at how many lists a batch holds: one alone has no negatives.",
            *(type(self.loss).__name__, self._idle_steps),
        )
        self._idle_steps = -1

    def dead_regions(self, share: float) -> None:
        """Warn when most scores stay where the link hardly moves; ``share``: that of these scores in a step."""
        if self._dead_steps < 0:
            return
        self._dead_steps = self._dead_steps + 1 if share > 0.5 else 0
        if self._dead_steps >= STEPS:
            self._dead_steps = -1
            log.warning(
                "%.0f %% of the scores lie where the slope of %r is under 1 %% of its peak, for %d steps now: little is "
                "learnt there. Move the link's center, widen it, add 0.1 * Identity(), or use ltr.losses.RunningCenter.",
                *(100 * share, transform_of(self.loss), STEPS),
            )
