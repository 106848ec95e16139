"""Rank distillation: against plain loops, by hand, against another tool; ties, and what the cost tends to."""

from __future__ import annotations

from math import exp, log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError
from ltr.losses.rank_distillation import ADRMSE, shared_ranks
from tests.reference import relaxed

few = settings(max_examples=20, deadline=None, derandomize=True)
a_list = given(st.integers(0, 10**6), st.integers(2, 8), st.sampled_from([0.1, 0.7, 3.0]))


def one_list(seed, docs):
    """Scores, and a teacher's scores of which some tie."""
    generator = torch.Generator().manual_seed(seed)
    scores, teacher = 2 * torch.randn(2, 1, docs, generator=generator, dtype=torch.float64)
    return scores, teacher.round(decimals=seed % 2)


@a_list
@few
def test_follows_its_definition(seed, docs, temperature):
    scores, teacher = one_list(seed, docs)
    wanted = relaxed.adr_mse(scores[0].tolist(), teacher[0].tolist(), temperature)
    assert ADRMSE(temperature)(scores, teacher).item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@a_list
@few
def test_gradients_are_those_of_the_costs(seed, docs, temperature):
    scores, teacher = one_list(seed, docs)
    loss = ADRMSE(temperature + 0.5)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), scores.requires_grad_())


def test_by_hand():
    # the teacher prefers the second of two documents, the scores the first by 2 temperatures: ranks 1 + σ(∓2)
    scores = torch.tensor([[1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = ADRMSE(temperature=0.5)(scores, torch.tensor([[-3.0, 4.0]]))
    loss.backward()
    above = 1 / (1 + exp(-2))  # how surely the first is above the second: both ranks miss by as much
    assert loss.item() == pytest.approx((above**2 + above**2 / log2(3)) / 2, rel=1e-12)
    slope = above * (1 + 1 / log2(3)) * above * (1 - above) / 0.5
    assert scores.grad[0].tolist() == pytest.approx([slope, -slope], rel=1e-12)


@pytest.mark.parametrize(
    ("labels", "temperature", "wanted"),
    [
        ([2.0, 0.0, 1.0, 1.0, -0.5], 1.0, 1.213566541671753),
        ([3.0, 1.0, 5.0, 2.0, 4.0], 0.5, 0.4535329341888428),
        ([1.0, 1.0, 1.0, 1.0, 1.0], 2.0, 0.16846568882465363),
    ],
)
def test_agrees_with_sentence_transformers(labels, temperature, wanted):
    # ADRMSELoss(model, alpha=1/temperature) of sentence-transformers 6.2.0 on these scores of one query
    scores = torch.tensor([[0.3, -1.2, 2.0, 0.7, 0.1]])
    assert ADRMSE(temperature)(scores, torch.tensor([labels])).item() == pytest.approx(wanted, rel=1e-6)


def test_only_the_order_of_labels_counts():
    scores, teacher = one_list(1, 7)
    cost = ADRMSE()(scores, teacher)
    assert torch.equal(ADRMSE()(scores, teacher.exp()), cost)
    ranks = shared_ranks(teacher.sort(-1, descending=True).values, torch.ones_like(teacher, dtype=torch.bool))
    by_rank = torch.empty_like(ranks).scatter_(-1, teacher.argsort(-1, descending=True), ranks)
    assert torch.equal(ADRMSE()(scores, -by_rank), cost)


@pytest.mark.parametrize("at_once", [1, 1 << 18])
def test_tied_labels_share_their_ranks(at_once, monkeypatch):
    monkeypatch.setattr("ltr.losses.engines.blocks.CPU_PAIRS", at_once)
    labels = torch.tensor([[3.0, 3.0, 3.0, 0.0, 9.0], [1.0, 0.0, 0.0, -1.0, -2.0], [1e38, -3e38, -1e38, 9.0, 3e38]])
    mask = torch.ones_like(labels, dtype=torch.bool)
    mask[0, 4] = mask[2, 3] = False
    wanted = [[2.0, 2.0, 2.0, 4.0, 5.0], [1.0, 2.5, 2.5, 4.0, 5.0], [2.0, 4.0, 3.0, 5.0, 1.0]]
    assert shared_ranks(labels, mask).tolist() == wanted
    # equal scores are what tied labels ask for
    scores = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    cost = ADRMSE()(scores, torch.full((1, 5), 0.7))
    cost.backward()
    assert cost.item() == 0
    assert (scores.grad == 0).all()


@given(st.integers(0, 10**6), st.integers(2, 9))
@few
def test_cold_costs_are_squared_errors_of_ranks(seed, docs):
    generator = torch.Generator().manual_seed(seed)
    ours, theirs = (torch.randperm(docs, generator=generator) for _ in range(2))
    wanted = sum((o - t) ** 2 / log2(1 + t) for o, t in zip((1 + ours).tolist(), (1 + theirs).tolist(), strict=True))
    found = ADRMSE(0.02)(-ours[None].double(), -theirs[None].double())
    assert found.item() == pytest.approx(wanted / docs, abs=1e-9)


def test_training_on_it_restores_the_teachers_order():
    scores, teacher = one_list(4, 8)
    scores.requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.1)
    first = ADRMSE()(scores, teacher).item()
    for _ in range(400):
        optimizer.zero_grad()
        cost = ADRMSE()(scores, teacher)
        cost.backward()
        optimizer.step()
    assert cost.item() < 0.05 * first
    preferred = teacher[0, :, None] > teacher[0]
    assert preferred.sum() == 24  # of 28 pairs: four tie
    assert (scores[0, :, None] > scores[0])[preferred].all()


def test_settings_are_checked():
    for temperature in (0.0, -1.0, float("inf"), True):
        with pytest.raises(ConfigError, match=r"^ADRMSE: temperature must be a finite number above 0, got"):
            ADRMSE(temperature)
