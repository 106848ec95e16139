"""Classical listwise losses: a distribution over the documents of a list, or over their orders."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltr.errors import DataError
from ltr.links import Identity
from ltr.losses.base import Laws, Loss, as_temperature, has_positive, has_two, real
from ltr.losses.engines.row_blocks import Rows
from ltr.losses.engines.softmax import cross_entropy, divergence, log_softmax
from ltr.losses.engines.softmax_rows import contrastive_rows, softmax_rows
from ltr.losses.targets import Gains, LabelSoftmax, Targets, entry_shares, fitting

LABEL_SOFTMAX, GAINS, IDENTITY = LabelSoftmax(), Gains(), Identity()
ENTROPY = "a cross-entropy is never below the entropy of its target, which is above 0"


class _SoftmaxCrossEntropy(Loss):
    """``−Σ qᵢ log softmax(ŝ)ᵢ``, with gradient ``softmax(ŝ)ᵢ − qᵢ``."""

    laws = Laws(shift=True, why={"divergence": ENTROPY})

    def __init__(self, targets: Targets, reduction: str):
        super().__init__(reduction)
        self.targets = fitting(type(self).__name__, targets, "distribution")

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.targets.contributes(labels, mask)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        self.targets.check(type(self).__name__, labels, mask)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        log_q = self.targets.log_distribution(labels, mask, IDENTITY)
        return cross_entropy(log_q, log_softmax(scores, mask), mask)

    def row_costs(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        parts = entry_shares(self.targets, type(self).__name__, rows)
        return super().row_costs(rows) if parts is None else softmax_rows(rows, parts, None, entropy=False)


class ListNet(_SoftmaxCrossEntropy):
    """Cross-entropy between the top-one probabilities of labels and of scores.

    ``−Σ qᵢ log softmax(ŝ)ᵢ`` with ``q = softmax(labels)``: how likely each document is to come first.

    Args:
        targets: what labels mean: ``LabelSoftmax(temperature=1.0)`` (default), or any other distribution.

    Note: Bounded below by 0, and by the entropy of q. Lists with equal grades still pull their scores together.

    Source: Cao, Qin, Liu, Tsai and Li, "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007,
    the listwise loss on top-one probabilities.

    >>> ListNet()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # log 2
    tensor(0.6931)
    """

    def __init__(self, targets: Targets = LABEL_SOFTMAX, reduction: str = "mean"):
        super().__init__(targets, reduction)


class SoftmaxCE(_SoftmaxCrossEntropy):
    """Cross-entropy between normalised gains and the softmax of scores: relevant documents share the probability.

    ``−Σ qᵢ log softmax(ŝ)ᵢ`` with ``qᵢ = (2^yᵢ − 1) / Σ (2^yⱼ − 1)``.

    Args:
        targets: what labels mean: ``Gains("exponential")`` (default), ``Gains("linear")``, ``Positives()`` or any
            other distribution.

    Note: Bounded below by 0, and by the entropy of q. A list without a positive grade costs nothing.

    Source: Bruch, Wang, Bendersky and Najork, "An Analysis of the Softmax Cross Entropy Loss for Learning-to-Rank with
    Binary Relevance", ICTIR 2019, which shows that it bounds MRR and nDCG when grades are 0 and 1.

    >>> SoftmaxCE()(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]))  # −1·log ½
    tensor(0.6931)
    """

    def __init__(self, targets: Targets = GAINS, reduction: str = "mean"):
        super().__init__(targets, reduction)


class KLDistillation(Loss):
    """Divergence of the student's list distribution from the teacher's.

    ``KL(softmax(t / T) ‖ softmax(ŝ / T))`` with teacher scores t as labels and temperature T; gradient
    ``(softmax(ŝ / T)ᵢ − softmax(t / T)ᵢ) / T``. The same as ``CompositeSoftmax(Identity(width=T))``.

    Args:
        temperature: T, above 0. Larger values soften both distributions; the cost is not multiplied by T².

    Note: Bounded below by 0.

    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, 2015, section
    2; over the documents of a list as in Cao et al., "Learning to Rank", ICML 2007.

    >>> KLDistillation()(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 2.0]]))  # a shift changes nothing
    tensor(0.)
    """

    laws = Laws(labels="scores", divergence=True, shift=True)

    def __init__(self, temperature: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction)
        self.temperature = as_temperature("KLDistillation", temperature)

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        log_q = log_softmax(labels / self.temperature, mask)
        return divergence(log_q, log_softmax(scores / self.temperature, mask), mask)


class InfoNCE(Loss):
    """Each positive document against all negatives of its list (localized contrastive estimation).

    ``−log(exp(ŝ₊/T) / (exp(ŝ₊/T) + Σ₋ exp(ŝ₋/T)))``, the mean over the positives (labels above 0); the sum runs over the
    negatives of the list, so positives do not compete with each other.

    Args:
        temperature: T, above 0; divides the scores.

    Note: Bounded below by 0. A list contributes when it has a positive and a negative.

    Source: van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", arXiv
    1807.03748, 2018, equation 4; on a retriever's negatives Gao, Dai and Callan, "Rethink Training of BERT Rerankers in
    Multi-Stage Retrieval Pipeline", ECIR 2021, the LCE loss.

    >>> InfoNCE()(torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))  # −log ⅓
    tensor(1.0986)
    """

    laws = Laws(labels="positives", shift=True, why={"divergence": "labels are grades, not target scores"})

    def __init__(self, temperature: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction)
        self.temperature = as_temperature("InfoNCE", temperature)

    def good_or_bad(self) -> bool:
        return True

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_positive(labels, mask) & (real(labels, mask) & (labels <= 0)).any(-1)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        scores = scores / self.temperature
        is_positive, is_negative = mask & (labels > 0), mask & (labels <= 0)
        lowest = torch.finfo(scores.dtype).min / 4
        against = torch.where(is_negative, scores, lowest).logsumexp(-1, keepdim=True)
        # logsigmoid, not softplus: that turns linear above 20
        each = torch.where(is_positive, -F.logsigmoid(scores - against), 0)
        return each.sum(-1) / is_positive.sum(-1).clamp(min=1)

    @property
    def row_scale(self) -> float:
        return 1 / self.temperature

    def row_costs(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        return contrastive_rows(rows)


class ListMLE(Loss):
    """Likelihood of the labels' order when documents are drawn one by one, each by softmax over those left.

    ``Σᵢ [log Σ_{j ≥ i} exp ŝ_π(j) − ŝ_π(i)]``, π the real documents by falling label. Documents of equal label come in
    the order of their current scores, which costs least and does not depend on how the list is stored.

    Note: Bounded below by 0. The gradient has kinks where two documents of equal label swap places.

    Source: Xia, Liu, Wang, Zhang and Li, "Listwise Approach to Learning to Rank: Theory and Algorithm", ICML 2008,
    the likelihood loss.

    >>> ListMLE()(torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[2.0, 1.0, 0.0]]))  # log 3 + log 2 + log 1
    tensor(1.7918)
    """

    laws: Laws = Laws(
        ranks=True,
        shift=True,
        why={"divergence": "labels give an order, not scores", "ranks": "equal labels are ordered by score"},
    )

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return has_two(labels, mask)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        surprise, placed = draws(scores, labels, mask)
        return torch.where(placed, surprise, 0).sum(-1)


class PListMLE(ListMLE):
    """ListMLE that puts weight on the first positions: an error at the top costs more than one further down.

    ``Σᵢ α(i) [log Σ_{j ≥ i} exp ŝ_π(j) − ŝ_π(i)]`` with ``α(i) = 2^(n − i) − 1`` for position i = 1 … n of the n real
    documents; π as in ``ListMLE``.

    Args:
        normalised: divide by ``Σ α(i)``, so that lists of any length have costs of one size. The paper's sum grows as
            2^n and is refused beyond 64 documents.

    Raises:
        DataError: a list of more than 64 documents that is not normalised, with its place.

    Note: Bounded below by 0. The gradient has kinks where two documents of equal label swap places.

    Source: Lan, Zhu, Guo, Niu and Cheng, "Position-Aware ListMLE: A Sequential Learning Process for Ranking", UAI
    2014, the likelihood loss with α(i) = 2^(n − i) − 1.

    >>> PListMLE()(torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[2.0, 1.0, 0.0]]))  # 3 log 3 + 1 log 2 + 0
    tensor(3.9890)
    """

    LONGEST: ClassVar[int] = 64

    def __init__(self, normalised: bool = False, reduction: str = "mean"):
        super().__init__(reduction)
        self.normalised = normalised

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        sizes = mask.sum(-1)
        long = (sizes > self.LONGEST).nonzero()
        if not self.normalised and len(long):
            raise DataError(
                f"PListMLE: the paper's weights 2^(n − i) − 1 fit lists of at most {self.LONGEST} documents, got "
                f"{int(sizes[long[0]])} in list {int(long[0])}; use PListMLE(normalised=True)"
            )

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        surprise, placed = draws(scores, labels, mask)
        left = placed.flip(-1).cumsum(-1).flip(-1) - 1  # n − i
        if self.normalised:
            # 2^(n − i) − 1 divided by 2^(n − 1), before it can overflow
            n = placed.sum(-1, keepdim=True)
            alpha = torch.exp2((left - n + 1).to(scores)) - torch.exp2((1 - n).to(scores))
            alpha = torch.where(placed, alpha, 0)
            alpha = alpha / alpha.sum(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)
        else:
            alpha = torch.exp2(left.to(scores)) - 1
        return torch.where(placed, alpha * surprise, 0).sum(-1)


def draws(scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What each draw of the ideal order costs, ``log Σ_{j ≥ i} exp ŝ_π(j) − ŝ_π(i)``, and which positions are real.

    Returns:
        Two tensors [lists, positions]; places without a document come last.
    """
    by_score = torch.where(mask, scores.detach(), -torch.inf).argsort(dim=-1, descending=True, stable=True)
    key = torch.where(mask, labels, -torch.inf).gather(-1, by_score)
    order = by_score.gather(-1, key.argsort(dim=-1, descending=True, stable=True))
    ordered, placed = scores.gather(-1, order), mask.gather(-1, order)
    lowest = torch.finfo(scores.dtype).min / 4
    left = torch.where(placed, ordered, lowest).flip(-1).logcumsumexp(-1).flip(-1)
    return left - ordered, placed
