"""Classical pointwise losses: each document is a regression or a classification of its own."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from ltr.links import Sigmoid
from ltr.losses.base import Laws, Loss, positive
from ltr.losses.targets import Dual, Scores, Targets, fitting

SCORES, DUAL, LOGISTIC = Scores(), Dual(), Sigmoid()
NO_SHIFT = {"shift": "each score is compared with its own target"}


class _Regression(Loss):
    """Scores against target scores."""

    pointwise: ClassVar[bool] = True

    def __init__(self, targets: Targets, reduction: str):
        super().__init__(reduction)
        self.targets = fitting(type(self).__name__, targets, "scores")
        labels = "scores" if isinstance(targets, Scores) else "grades"
        self.laws = Laws(labels=labels, divergence=True, why=NO_SHIFT)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.targets.check(type(self).__name__, labels, mask)


class MSE(_Regression):
    """Squared error of each score: ``(ŝ − s)²``, the mean over the documents of a list.

    Twice the matching loss of ``Identity()``. As a distillation loss the labels are teacher scores.

    Args:
        targets: what labels mean: ``Scores()`` (default) or ``Grades([...])``.

    Note: Bounded below by 0.

    Source: Cossock and Zhang, "Subset Ranking Using Regression", COLT 2006, for ranking by regression.

    >>> import torch
    >>> MSE()(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]))  # (2² + 0) / 2
    tensor(2.)
    """

    def __init__(self, targets: Targets = SCORES, reduction: str = "mean"):
        super().__init__(targets, reduction)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return (scores - self.targets.scores(labels)).square()


class Huber(_Regression):
    """Squared error of small errors, absolute error of large ones, so that outliers among the labels count less.

    ``½ (ŝ − s)²`` where ``|ŝ − s| ≤ δ``, else ``δ (|ŝ − s| − δ/2)``; the mean over the documents of a list.

    Args:
        delta: δ, where the square ends, in units of the scores; above 0.
        targets: what labels mean: ``Scores()`` (default) or ``Grades([...])``.

    Note: Bounded below by 0.

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35, 1964.

    >>> import torch
    >>> Huber()(torch.tensor([[3.0, 0.5]]), torch.tensor([[0.0, 0.5]]))  # (3 − ½ + 0) / 2
    tensor(1.2500)
    """

    def __init__(self, delta: float = 1.0, targets: Targets = SCORES, reduction: str = "mean"):
        super().__init__(targets, reduction)
        self.delta = positive("Huber", "delta", delta)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return F.huber_loss(scores, self.targets.scores(labels), reduction="none", delta=self.delta)


class BCE(Loss):
    """Logistic loss: each document is relevant with probability σ(score).

    ``−y log σ(ŝ) − (1 − y) log(1 − σ(ŝ))`` with gradient ``σ(ŝ) − y``; the mean over the documents of a list. Scores
    are logits: no sigmoid belongs before this loss. Equal to ``Matching(Sigmoid(), Dual())`` for labels 0 and 1, and
    up to the entropy of y in between.

    Args:
        targets: what labels mean: ``Dual()`` (default), probabilities in [0, 1], or ``Positives()``, grades of which
            those above 0 count as relevant.

    Raises:
        DataError: a label outside [0, 1] under ``Dual()``, with its place.

    Note: Bounded below by 0.

    Source: Cooper, Gey and Dabney, "Probabilistic Retrieval Based on Staged Logistic Regression", SIGIR 1992; for
    cross-encoders Nogueira and Cho, "Passage Re-ranking with BERT", arXiv 1901.04085, 2019, equation 1.

    >>> import torch
    >>> BCE()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # log 2
    tensor(0.6931)
    """

    pointwise: ClassVar[bool] = True

    def __init__(self, targets: Targets = DUAL, reduction: str = "mean"):
        super().__init__(reduction)
        self.targets = fitting("BCE", targets, "dual")
        labels = "binary" if isinstance(targets, Dual) else "grades"
        self.laws = Laws(labels=labels, why={**NO_SHIFT, "divergence": "labels are probabilities, not scores"})

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.targets.check("BCE", labels, mask, LOGISTIC)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(scores, self.targets.dual(labels, LOGISTIC), reduction="none")
