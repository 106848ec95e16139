"""Listwise losses against loops, by hand, and against the mistakes of others."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from ltr.errors import DataError
from ltr.links import Identity
from ltr.losses import (
    CompositeSoftmax,
    InfoNCE,
    KLDistillation,
    LabelSoftmax,
    ListMLE,
    ListNet,
    PListMLE,
    Positives,
    SoftmaxCE,
)
from ltr.losses.engines.softmax import divergence, log_softmax
from tests.losses.cases import batch_for, rebuilt
from tests.reference import listwise as reference


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("loss", "double"),
    [
        (ListNet(), reference.listnet),
        (SoftmaxCE(), reference.softmax_ce),
        (KLDistillation(2.0), lambda s, y: reference.kl_distillation(s, y, 2.0)),
        (InfoNCE(0.5), lambda s, y: reference.info_nce(s, y, 0.5)),
        (ListMLE(), reference.list_mle),
        (PListMLE(), reference.p_list_mle),
        (
            PListMLE(normalised=True),
            lambda s, y: reference.p_list_mle(s, y) / sum(2**k - 1 for k in range(len(s))),
        ),
    ],
    ids=lambda value: "loop" if callable(value) and not isinstance(value, torch.nn.Module) else repr(value),
)
def test_equals_its_loop(loss, double, seed):
    b = batch_for(loss, seed, lists=5)
    costs = rebuilt(loss, reduction="none")(b.scores, b.labels, b.mask)
    keeps = loss.contributes(b.labels, b.mask)
    assert keeps.any()
    for cost, scores, labels, mask, keep in zip(costs, b.scores, b.labels, b.mask, keeps, strict=True):
        if keep:
            assert cost.item() == pytest.approx(double(scores[mask].tolist(), labels[mask].tolist()), rel=1e-9)


@pytest.mark.parametrize("loss", [ListNet(), SoftmaxCE(), KLDistillation()], ids=repr)
def test_softmax_losses_have_the_gradient_p_minus_q(loss):
    b = batch_for(loss, 4, lists=1)
    targets = getattr(loss, "targets", LabelSoftmax())
    q = targets.distribution(b.labels, b.mask, Identity())
    scores = b.leaf()
    loss(scores, b.labels, b.mask).backward()
    p = torch.where(b.mask, b.scores, -torch.inf).softmax(-1)
    torch.testing.assert_close(scores.grad, p - q, rtol=1e-12, atol=1e-12)


def test_softmax_gradients_are_right_at_large_scores():
    # log(softmax + eps), as found elsewhere, is wrong from a score of about 10 on
    scores = torch.tensor([[0.0, 40.0, 90.0]], requires_grad=True)
    loss = SoftmaxCE()(scores, torch.tensor([[1.0, 0.0, 0.0]]))
    loss.backward()
    assert loss.item() == 90.0
    assert scores.grad.tolist()[0] == pytest.approx([-1.0, exp(-50), 1.0])


def test_kl_distillation_is_the_composite_softmax_of_the_identity():
    b = batch_for(KLDistillation(), 5)
    torch.testing.assert_close(
        KLDistillation(2.0)(b.scores, b.labels, b.mask),
        CompositeSoftmax(Identity(width=2.0))(b.scores, b.labels, b.mask),
        rtol=1e-12,
        atol=1e-12,
    )


def test_divergence_keeps_its_digits_near_the_target():
    # KL ≈ ½ Σ p δ² for small δ: the plain form loses it below float32's rounding, and turns negative
    mask = torch.ones(1, 3, dtype=torch.bool)
    base = torch.tensor([[0.3, -0.2, 0.1]])
    for size in (1e-3, 1e-4, 1e-5):
        moved = base + size * torch.tensor([[1.0, -1.0, 0.0]])
        found = divergence(log_softmax(base, mask), log_softmax(moved, mask), mask).item()
        wide = [log_softmax(x.double(), mask) for x in (base, moved)]
        wanted = divergence(*wide, mask).item()
        assert found == pytest.approx(wanted, rel=3e-3 * (1e-3 / size))
        assert found >= 0


@pytest.mark.parametrize("gap", [0.2, 0.249999, 0.25, 0.250001, 0.3, 5.0, 90.0, 2000.0])
def test_divergence_agrees_with_its_definition_on_both_sides_of_every_branch(gap):
    log_q = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
    mask = torch.ones(1, 3, dtype=torch.bool)
    for sign in (1, -1):
        log_p = log_softmax(log_q + sign * gap * torch.tensor([[1.0, 0.0, -0.5]], dtype=torch.float64), mask)
        wanted = (log_q.exp() * (log_q - log_p)).sum()
        assert divergence(log_q, log_p, mask).item() == pytest.approx(wanted.item(), rel=1e-12)


def test_divergence_from_a_target_with_zeros_is_finite():
    log_q = torch.tensor([[1.0, 0.0]]).log()
    log_p = torch.tensor([[-5000.0, 0.0]], requires_grad=True)
    cost = divergence(log_q, log_p, torch.ones(1, 2, dtype=torch.bool))
    cost.sum().backward()
    assert cost.item() == 5000.0
    assert log_p.grad.tolist() == [[-1.0, 1.0]]


def test_info_nce_lets_positives_alone_with_each_other():
    # two positives, one negative: the mean of two pairs against the negative
    scores = torch.tensor([[2.0, 1.0, 0.0]], requires_grad=True)
    loss = InfoNCE()(scores, torch.tensor([[1.0, 2.0, 0.0]]))
    assert loss.item() == pytest.approx((log(1 + exp(-2)) + log(1 + exp(-1))) / 2)
    alone = InfoNCE()(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    assert alone.item() == pytest.approx(
        SoftmaxCE(Positives())(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])).item()
    )


def test_info_nce_keeps_the_gradient_of_badly_wrong_scores():
    scores = torch.tensor([[-300.0, 300.0]], requires_grad=True)
    InfoNCE()(scores, torch.tensor([[1.0, 0.0]])).backward()
    assert scores.grad.tolist() == [[-1.0, 1.0]]


def test_list_mle_by_hand():
    scores = torch.tensor([[1.0, 3.0, 2.0]])
    labels = torch.tensor([[0.0, 1.0, 2.0]])  # ideal order: scores 2, 3, 1
    wanted = (log(exp(2) + exp(3) + exp(1)) - 2) + (log(exp(3) + exp(1)) - 3)
    assert ListMLE()(scores, labels).item() == pytest.approx(wanted)
    weighted = 3 * (log(exp(2) + exp(3) + exp(1)) - 2) + 1 * (log(exp(3) + exp(1)) - 3)
    assert PListMLE()(scores, labels).item() == pytest.approx(weighted)


def test_list_mle_reads_labels_in_any_order_of_documents():
    # some implementations ignore labels unless documents come sorted by them
    scores = torch.tensor([[3.0, 2.0, 1.0]])
    assert ListMLE()(scores, torch.tensor([[0.0, 1.0, 2.0]])) > ListMLE()(scores, torch.tensor([[2.0, 1.0, 0.0]]))


def test_list_mle_orders_equal_labels_by_score_which_costs_least():
    labels = torch.tensor([[1.0, 1.0, 0.0]])
    low, high = torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    cost = ListMLE()(low, labels)
    assert torch.equal(cost, ListMLE()(high, labels))
    forced = ListMLE()(low, torch.tensor([[2.0, 1.0, 0.0]])), ListMLE()(low, torch.tensor([[1.0, 2.0, 0.0]]))
    assert cost == min(forced)


def test_list_mle_does_not_count_padding():
    # the normaliser of others runs over padded slots too
    cost = ListMLE()(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    mask = torch.tensor([[True, True, False, False]])
    padded = ListMLE()(torch.zeros(1, 4), torch.tensor([[1.0, 0.0, 0.0, 0.0]]), mask)
    assert cost.item() == padded.item() == pytest.approx(log(2))


@pytest.mark.parametrize("loss", [ListMLE(), PListMLE()], ids=repr)
def test_list_mle_has_the_gradient_of_its_draws(loss):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 5, dtype=torch.float64, generator=generator).requires_grad_()
    labels = torch.tensor([[2.0, 0.0, 4.0, 1.0, 3.0]])
    loss(scores, labels).backward()
    wanted, left = [0.0] * 5, reference.ideal_order(scores[0].tolist(), labels[0].tolist())
    while left:
        weight = 1 if type(loss) is ListMLE else 2 ** (len(left) - 1) - 1
        for i, p in zip(left, reference.softmax([scores[0, i].item() for i in left]), strict=True):
            wanted[i] += weight * (p - (i == left[0]))
        left = left[1:]
    assert scores.grad[0].tolist() == pytest.approx(wanted, rel=1e-10)


def test_p_list_mle_of_long_lists():
    scores, labels = torch.zeros(2, 65), torch.zeros(2, 65)
    mask = torch.ones(2, 65, dtype=torch.bool)
    mask[0, 3:] = False
    with pytest.raises(DataError, match=r"PListMLE: .* at most 64 documents, got 65 in list 1; use .*normalised=True"):
        PListMLE()(scores, labels, mask)
    long = torch.zeros(1, 2000, requires_grad=True)
    cost = PListMLE(normalised=True)(long, torch.arange(2000.0)[None])
    cost.backward()
    # weights ½, ¼, … on log 2000, log 1999, …
    assert cost.item() == pytest.approx(log(1999), abs=1e-3)
    assert long.grad.isfinite().all()
