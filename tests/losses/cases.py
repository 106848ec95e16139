"""Every loss in the settings that the contract is tested with, and batches to test it on.

A new loss adds a line to ``LOSSES`` and inherits every law of the contract.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
from torch import Tensor

from ltr import links, losses
from ltr.losses.base import Loss
from tests.losses import own

#: what reprs of losses are made of
NAMES = {name: getattr(module, name) for module in (links, losses) for name in module.__all__}
NAMES |= {"SquaredHinge": own.SquaredHinge, "Absolute": own.Absolute}

#: expression that makes a loss -> what a list needs to contribute (a row of NEEDS)
LOSSES = {
    "Matching(Identity())": "document",
    "Matching(Sigmoid(center=0.5, width=2.0, scale=3.0))": "document",
    "Matching(Sigmoid(center=1.0) + 0.1 * Identity())": "document",
    "Matching(Exp(), Grades([0.0, 0.5, 1.5, 3.0, 4.0]))": "document",
    "Matching(ReverseExp())": "document",
    "Matching(Sinh())": "document",
    "Matching(Piecewise([-1.0, 1.0], [0.1, 2.0, 0.5]))": "document",
    "Matching(RunningCenter(Asinh()))": "document",
    "Matching(Sigmoid(), Dual())": "document",
    "Matching(Exp(), Dual())": "document",
    "Matching(Tanh(center=1.0, scale=2.0), Dual(normalised=True))": "document",
    "Matching(Sigmoid() + Sigmoid(center=2.0), Positives())": "document",
    "DifferenceMatching(Identity())": "pair",
    "DifferenceMatching(Sigmoid(center=0.5))": "pair",
    "DifferenceMatching(Asinh(), Grades(), GradeDifference())": "pair",
    "DifferenceMatching(Sigmoid(), Positives())": "positive and negative",
    "DifferenceMatching(Tanh(scale=0.3), Dual(normalised=True))": "positive and negative",
    "CompositeContrast(Sigmoid(center=1.0) + 0.2 * Identity())": "pair",
    "CompositeContrast(Exp(), DeltaNDCG(cutoff=2))": "pair",
    "CompositeContrast(RunningCenter(Tanh()), GradeDifference())": "pair",
    "CompositeContrast(Piecewise([0.0], [0.2, 1.0]))": "pair",
    "CompositeSoftmax(Identity())": "two",
    "CompositeSoftmax(Sigmoid(center=0.5, scale=4.0))": "two",
    "CompositeSoftmax(Sinh(), targets=Gains())": "two and a positive",
    "CompositeSoftmax(Asinh(), targets=Positives())": "two and a positive",
    "CompositeSoftmax(Softplus(center=1.0), targets=LabelSoftmax(0.5))": "two",
    "CompositeSoftmax(RunningCenter(Exp()), targets=Grades())": "two",
    "CompositeSoftmax(Piecewise([0.0, 1.0], [0.1, 3.0, 0.2]), targets=Gains('linear'))": "two and a positive",
    "CompositeSoftmax(Identity(), form='matching')": "two",
    "CompositeSoftmax(Exp() + Identity(), form='matching')": "two",
    "CompositeSoftmax(Softplus(), form='matching', targets=Grades())": "two",
    "CompositeSoftmax(Piecewise([0.0, 1.0], [0.1, 1.0, 2.0]), form='matching')": "two",
    "BCE()": "document",
    "BCE(Positives())": "document",
    "MSE()": "document",
    "MSE(Grades([-1.0, 0.0, 2.0, 4.0, 5.0]))": "document",
    "Huber(delta=0.5)": "document",
    "RankNet()": "pair",
    "RankNet(GradeDifference(), sigma=2.0)": "pair",
    "PairwiseHinge()": "pair",
    "MarginMSE()": "two",
    "ListNet()": "two",
    "SoftmaxCE()": "two and a positive",
    "SoftmaxCE(Gains('linear'))": "two and a positive",
    "InfoNCE()": "positive and negative",
    "InfoNCE(temperature=0.5)": "positive and negative",
    "KLDistillation(temperature=2.0)": "two",
    "ADRMSE()": "two",
    "ADRMSE(temperature=0.2)": "two",
    "ListMLE()": "two",
    "PListMLE()": "two",
    "PListMLE(normalised=True)": "two",
    "LambdaRank()": "pair",
    "LambdaRank('linear', cutoff=2)": "pair",
    "LambdaLoss()": "pair",
    "LambdaLoss('ndcg1')": "pair",
    "LambdaLoss('ndcg2', cutoff=3)": "pair",
    "ApproxNDCG()": "two and a positive",
    "ApproxNDCG(temperature=1.0, gains='linear')": "two and a positive",
    "ApproxMRR()": "two and a positive",
    "NeuralNDCG()": "two and a positive",
    "NeuralNDCG(sinkhorn_steps=0)": "two and a positive",
    "DifferenceMatching(Asinh(), PairTargets(gap=0.5))": "two",
    "DifferenceMatching(Sigmoid(center=1.0), PairTargets(gap=2.0))": "two",
    "DifferenceMatching(Tanh(center=0.5, scale=2.0), PairTargets(probability='votes'))": "two",
    "DifferenceMatching(Piecewise([1.0], [1.0, 0.0]), PairTargets(probability=1.0))": "two",
    "BradleyTerry()": "two",
    "BradleyTerry(PairTargets(probability='votes'))": "two",
    "BradleyTerry(centering=0.25)": "two",
    "DPO()": "two",
    "cDPO(eps=0.2)": "two",
    "IPO(tau=0.5)": "two",
    "SimPO(gamma=1.5)": "two",
    "SLiC(margin=4.0)": "pair",
    "RankBoost()": "two",
    "fDPO('forward_kl', beta=0.5)": "pair",
    "fDPO('js', beta=0.5)": "pair",
    "fDPO('alpha', alpha=0.25)": "pair",
    "RobustDPO(eps=0.2)": "pair",
    "EXO(eps=0.1)": "pair",
    "KTO(desirable=2.0, reference=0.5)": "document",
    "ORPO(weight=0.5)": "two and a positive",
}
#: the same of losses that are not of ltr
OWN = {"SquaredHinge(8.0, DeltaNDCG())": "pair", "Absolute()": "document"}

#: lists that tell the needs apart: nothing real; one document; grades (0, 0); (1, 1); (1, 0); (2, 1)
PROBE_LABELS = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [2.0, 1.0]])
PROBE_MASK = torch.tensor([[False, False], [True, False], [True, True], [True, True], [True, True], [True, True]])
#: need -> which of these lists contribute
NEEDS = {
    "document": [False, True, True, True, True, True],
    "two": [False, False, True, True, True, True],
    "two and a positive": [False, False, False, True, True, True],
    "pair": [False, False, False, False, True, True],
    "positive and negative": [False, False, False, False, True, False],
}


def made(expression: str, **changes) -> Loss:
    """The loss of an expression in evaluation mode (running centres frozen), with some settings changed."""
    loss = eval(expression, dict(NAMES))
    return rebuilt(loss, **changes) if changes else loss.eval()


def rebuilt(loss: Loss, **changes) -> Loss:
    """A loss like another, with some constructor arguments changed."""
    kept = {name: getattr(loss, name) for name in constructor_arguments(loss)}
    return type(loss)(**kept | changes).eval()


def constructor_arguments(loss: Loss) -> set[str]:
    """Names of the arguments that made a loss."""
    return set(inspect.signature(type(loss).__init__).parameters) - {"self"}


@dataclass
class Batch:
    """Scores, labels and mask of padded lists."""

    scores: Tensor
    labels: Tensor
    mask: Tensor

    def leaf(self) -> Tensor:
        """The scores, ready to receive a gradient."""
        return self.scores.clone().requires_grad_()


def labels_for(loss: Loss, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random float64 labels of the kind that a loss takes."""
    if loss.laws.labels == "scores":
        return 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    if loss.laws.labels == "binary":
        unit = 3 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
        return unit.clamp(0, 1)  # two thirds stand at the ends
    return torch.randint(0, 5, shape, generator=generator).double()


def batch_for(loss: Loss, seed: int, lists: int = 3, docs: int = 6, spread: float = 2.0, ragged: bool = True) -> Batch:
    """Random lists of 0 to ``docs`` documents for a loss; the first list is full. Scores and labels are exact in float32."""
    generator = torch.Generator().manual_seed(seed)
    scores = spread * torch.randn(lists, docs, generator=generator, dtype=torch.float64)
    sizes = torch.randint(0, docs + 1, (lists,), generator=generator)
    sizes[:1] = docs
    mask = torch.arange(docs) < sizes[:, None] if ragged else torch.ones(lists, docs, dtype=torch.bool)
    # padding anywhere in a list, not only at its end
    shuffle = torch.rand(lists, docs, generator=generator).argsort(-1)
    labels = labels_for(loss, (lists, docs), generator)
    return Batch(scores.float().double(), labels.float().double(), mask.gather(-1, shuffle))
