"""Helpers of the contract tests: over which losses, on which draws, and what is compared."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.losses.cases import LOSSES, OWN, made, rebuilt

#: every law is tested over these
ALL = LOSSES | OWN
every_loss = pytest.mark.parametrize("expression", ALL)
#: losses whose costs are summed block by block; pairs in a block when a law is tested on several
BLOCKED = (
    "Contrast",
    "Difference",
    "RankNet",
    "Hinge",
    "ADRMSE",
    "Lambda",
    "Approx",
    "NeuralNDCG",
    "DPO",
    "BradleyTerry",
    "EXO",
    "ORPO",
)
FEW_PAIRS = 12
#: laws tested over these need the fixture ``at_once``: those that are summed in blocks come once more, in small ones
every_loss_in_blocks = pytest.mark.parametrize(
    ("expression", "at_once"),
    [
        *((expression, None) for expression in ALL),
        *((expression, FEW_PAIRS) for expression in ALL if any(name in expression for name in BLOCKED)),
    ],
    indirect=["at_once"],
)


def losses_where(applies):
    """Parametrises over the losses that a law applies to, of which there must be some."""
    chosen = [expression for expression in ALL if applies(made(expression))]
    assert chosen
    return pytest.mark.parametrize("expression", chosen)


random_seed = given(seed=st.integers(0, 10_000))
few = settings(max_examples=5, deadline=None, derandomize=True)
#: rounding of a float64 sum
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def costs_and_gradient(loss, scores, labels, mask):
    """Costs per list and the gradient of their sum."""
    scores = scores.detach().clone().requires_grad_()
    costs = each_list(loss)(scores, labels, mask)
    (gradient,) = torch.autograd.grad(costs.sum(), scores)
    return costs.detach(), gradient


def each_list(loss):
    """The loss with one cost per list."""
    return rebuilt(loss, reduction="none")
