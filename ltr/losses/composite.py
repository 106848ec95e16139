"""The listwise selective loss: Softmax of transformed scores."""

from __future__ import annotations

from torch import Tensor

from ltr.errors import ConfigError
from ltr.links import Link
from ltr.losses.base import Laws, Loss, increasing
from ltr.losses.engines.softmax import divergence, log_softmax
from ltr.losses.running import RunningCenter
from ltr.losses.targets import Scores, Targets, fitting

FORMS = ("proper", "matching")
SCORES = Scores()


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
