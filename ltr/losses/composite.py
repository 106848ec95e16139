"""Composite losses: Softmax over transformed scores, and pairs of them; sensitive where the transform is steep."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.links import Identity, Link
from ltr.losses.base import Laws, Loss, increasing
from ltr.losses.engines.row_blocks import Rows
from ltr.losses.engines.softmax import divergence, log_softmax
from ltr.losses.engines.softmax_rows import softmax_rows
from ltr.losses.pair_loss import UNIFORM, PairLoss
from ltr.losses.pair_weights import PairWeights
from ltr.losses.pairwise import RankNet
from ltr.losses.running import RunningCenter
from ltr.losses.targets import Scores, Targets, entry_shares, fitting

FORMS = ("proper", "matching")
SCORES = Scores()
PLAIN = Identity()


class CompositeSoftmax(Loss):
    """Softmax that tells adjacent documents apart where the transform is steep, e.g. at the top of the scores.

    ``p(s) = softmax(f(s₁), …, f(s_n))`` with an increasing transform f; ``Identity()`` gives ListNet's gradient.

    - ``"proper"``: ``KL(q ‖ p(ŝ))`` to a target distribution q; gradient ``f'(ŝᵢ)(pᵢ(ŝ) − qᵢ)``.
    - ``"matching"``: the Bregman divergence in ŝ of ``log Σ exp f(s)`` at target scores s, computed as ``KL(p(s) ‖ p(ŝ))
      + Σ pᵢ(s)·[f(ŝᵢ) − f(sᵢ) − (ŝᵢ − sᵢ) f'(sᵢ)]``; gradient ``f'(ŝᵢ)pᵢ(ŝ) − f'(sᵢ)pᵢ(s)``. f must be convex.

    Args:
        transform: f, e.g. ``Exp(center=2.0)``, ``Sigmoid(center=3.0) + 0.2 * Identity()`` or a ``RunningCenter``.
        form: ``"proper"`` (any f) or ``"matching"``.
        targets: what labels mean: ``Scores()`` (default; q = softmax(f(labels))), ``Grades([...])``, and in the proper
            form ``Gains()``, ``LabelSoftmax(temperature)`` or ``Positives()``.

    Raises:
        ConfigError: a matching form whose transform is not convex or whose targets are no scores; an unknown form.

    Note:
        Bounded below by 0. A bounded f caps the probabilities (``Sigmoid()`` on ten documents: at most 0.23): give it a
        scale of log(n / ε) or more, or add 0.1 to 0.3 of ``Identity()``. Only an affine f ignores a common shift.

    Source: Shamir and Warmuth, "Selective Matching Losses", arXiv 2506.04446, 2025, composite Softmax.

    >>> import torch
    >>> from ltr.links import Identity
    >>> CompositeSoftmax(Identity())(torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 2.0]]))  # p = q = (½, ½)
    tensor(0.)
    """

    def __init__(
        self, transform: Link | RunningCenter, form: str = "proper", targets: Targets = SCORES, reduction: str = "mean"
    ):
        super().__init__(reduction)
        if form not in FORMS:
            raise ConfigError(f"CompositeSoftmax: form must be one of {', '.join(FORMS)}, got {form!r}")
        self.transform = increasing("CompositeSoftmax", transform)
        self.form = form
        if form == "matching":
            self.targets = fitting("CompositeSoftmax(form='matching')", targets, "scores")
            if not transform.convex:
                raise ConfigError(
                    f"CompositeSoftmax(form='matching'): the transform must be convex (Identity, Exp, Softplus, Piecewise "
                    f"with rising slopes, or sums of these), or the loss can be negative; got {transform!r}: use "
                    f"form='proper', which takes every increasing transform"
                )
        else:
            self.targets = fitting("CompositeSoftmax", targets, "distribution")
        self.laws = self._laws()

    def _laws(self) -> Laws:
        why = {"shift": "where scores lie is what the transform is about; only an affine one ignores a shift"}
        is_scores = "scores" in self.targets.readings
        if not is_scores:
            why["divergence"] = "labels are grades, and scores that fit them exactly need not exist"
        kinks = not self.transform.smooth
        if kinks:
            why["kinks"] = "the transform's slope jumps"
        labels = "scores" if isinstance(self.targets, Scores) else "grades"
        return Laws(labels=labels, divergence=is_scores, kinks=kinks, why=why)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.targets.contributes(labels, mask)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.targets.check("CompositeSoftmax", labels, mask)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        log_q = self.targets.log_distribution(labels, mask, self.transform)
        cost = divergence(log_q, log_softmax(self.transform(scores), mask), mask)
        if self.form == "proper":
            return cost
        bracket = self.transform.bregman(scores, self.targets.scores(labels))
        return cost + (log_q.exp() * bracket).where(mask, 0.0).sum(-1)

    @property
    def row_scale(self) -> float:
        return self._factor or 1.0

    @property
    def _factor(self) -> float | None:
        """What the transform multiplies by where that is all it does, apart from a shift that softmax does not see."""
        f = self.transform
        sparse = self.form == "proper" and self.targets.shares(torch.zeros(1)) is not None
        return f.scale / f.width if sparse and isinstance(f, Identity) else None

    def row_costs(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        parts = entry_shares(self.targets, "CompositeSoftmax", rows) if self.form == "proper" else None
        if parts is None:
            return super().row_costs(rows)
        transform = self.transform.value_and_slope if self._factor is None else None
        return softmax_rows(rows, parts, transform, entropy=True)


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

    >>> import torch
    >>> from ltr.links import Identity
    >>> CompositeContrast(Identity())(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]))  # log 2
    tensor(0.6931)
    """

    finite: ClassVar[bool] = True
    pair_cost = staticmethod(RankNet.pair_cost)

    def __init__(self, transform: Link | RunningCenter, pair_weights: PairWeights = UNIFORM, reduction: str = "mean"):
        super().__init__(pair_weights, reduction)
        self.transform = increasing("CompositeContrast", transform)
        why, shift, smooth = dict(self.laws.why), isinstance(transform, Identity), getattr(transform, "smooth", True)
        if not shift:
            why["shift"] = "the transform fixes which scores are high"
        if not smooth:
            why["kinks"] = "the slope of the transform jumps at its knots"
        self.laws = replace(self.laws, shift=shift, kinks=not smooth, why=why)

    def values(self, scores: Tensor) -> Tensor:
        # the plain identity is not worth a trip through float64, which is a third of the time on short lists
        return scores if self.transform == PLAIN else self.transform(scores)
