"""Gains, discounts, ranks, ideal DCG, and the validation of grades."""

from __future__ import annotations

import math

import pytest
import torch

from ltr.errors import ConfigError, DataError
from ltr.losses import gains as g
from ltr.losses.lambdas import LambdaRank
from ltr.losses.relaxed import ApproxNDCG

SOME = torch.ones(2, 3, dtype=torch.bool)


def test_gains_of_grades():
    labels = torch.tensor([[0.0, 1.0, 4.0]])
    assert g.gain(labels).tolist() == [[0, 1, 15]]
    assert g.gain(labels, "linear").tolist() == [[0, 1, 4]]


def test_discounts_end_at_the_cutoff():
    found = g.discount(torch.tensor([1.0, 2.0, 3.0, 4.0]), cutoff=3).tolist()
    assert found == pytest.approx([1, 1 / math.log2(3), 0.5, 0])


def test_tied_scores_rank_in_input_order_and_masked_ones_last():
    scores = torch.tensor([[1.0, 9.0, 2.0, 1.0, 2.0]])
    mask = torch.tensor([[True, False, True, True, True]])
    assert g.ranks(scores, mask).tolist() == [[3, 5, 1, 4, 2]]


def test_ideal_dcg_sorts_gains_and_cuts():
    gained = torch.tensor([[1.0, 0.0, 7.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    assert g.ideal_dcg(gained).tolist() == pytest.approx([7 + 3 / math.log2(3) + 1 / 2, 1])
    assert g.ideal_dcg(gained, cutoff=2).tolist() == pytest.approx([7 + 3 / math.log2(3), 1])


def test_normalised_gains_ignore_masked_documents():
    labels = torch.tensor([[1.0, 5.0, 0.0]])
    mask = torch.tensor([[True, False, True]])
    assert g.normalised_gains(labels, mask).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "kind", "sentence"),
    [
        ([[0.0, 1, 2], [0, -1, 2]], "exponential", "grades must not be negative, got -1 at list 1, document 1; map"),
        ([[0.0, 1, 2], [0, -1, 2]], "linear", "grades must not be negative, got -1 at list 1, document 1; map"),
        ([[0.0, 1.5, 2], [0, 1, 2]], "exponential", "whole numbers, .* got 1.5 at list 0, document 1; round them"),
        ([[0.0, 1, 2], [0, 1, 200]], "exponential", r"must not overflow float32 .* got 200 at list 1, document 2; map"),
        ([[0.0, 127, 127], [0, 1, 2]], "exponential", r"must not overflow float32 .* got 127 at list 0, document 1"),
    ],
)
def test_labels_that_are_no_grades_are_refused_with_their_place(labels, kind, sentence):
    with pytest.raises(DataError, match=rf"^Who: .*{sentence}"):
        g.check_grades("Who", torch.tensor(labels), SOME, kind)


def test_grades_are_refused_only_where_they_would_fail():
    g.check_grades("Who", torch.tensor([[0.0, 127, 2], [31, 1, 2]]), SOME)  # 2^127 is a float32
    g.check_grades("Who", torch.tensor([[0.0, 200, 2], [31, 1, 2]], dtype=torch.float64), SOME)
    g.check_grades("Who", torch.tensor([[0.0, 200, 0.5], [31, 1, 2]]), SOME, "linear")
    g.check_grades(
        "Who", torch.tensor([[0.0, 200, -3], [31, 1, 2.5]]), torch.tensor([[True, False, False], [True, True, False]])
    )
    g.check_grades("Who", torch.zeros(0, 0), torch.zeros(0, 0, dtype=torch.bool))


@pytest.mark.parametrize("loss", [LambdaRank(), ApproxNDCG()])
def test_the_largest_grades_that_pass_give_finite_losses(loss):
    scores = torch.tensor([[1.0, -1.0, 2.0]], requires_grad=True)
    found = loss(scores, torch.tensor([[126.0, 125.0, 0.0]]))
    found.backward()
    assert found.isfinite()
    assert scores.grad.isfinite().all()
    assert scores.grad.abs().sum() > 0


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"^Who: gains must be .*, got 'exponental'; did you mean 'exponential'\?"):
        g.check_gains("Who", "exponental")
    for cutoff in (0, -1, 2.5, True, "3"):
        with pytest.raises(
            ConfigError, match=r"^Who: cutoff must be a whole number of ranks, at least 1, or None for all"
        ):
            g.check_cutoff("Who", cutoff)
    g.check_cutoff("Who", None)
