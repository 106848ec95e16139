"""Losses on queries and all documents of a batch: blocks give the values and gradients of the dense matrix."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ltr.errors import DataError, ShapeError
from ltr.links import Asinh, Exp, Identity, Piecewise, Sigmoid, Sinh, Softplus
from ltr.losses import (
    MSE,
    ApproxNDCG,
    CompositeContrast,
    CompositeSoftmax,
    Gains,
    InfoNCE,
    LambdaRank,
    ListMLE,
    ListNet,
    Matching,
    Positives,
    RankNet,
    RunningCenter,
    SoftmaxCE,
)
from ltr.losses.engines.row_blocks import Columns
from ltr.losses.in_batch import in_batch
from tests.losses import cases

POSITIVES = Positives()
LOSSES = {
    "InfoNCE": InfoNCE(0.05),
    "SoftmaxCE": SoftmaxCE(),
    "ListNet": ListNet(),
    "identity": CompositeSoftmax(Identity(width=0.05), targets=POSITIVES),
    "exp": CompositeSoftmax(Exp(center=0.3, width=0.2), targets=POSITIVES),
    "exp with a tail": CompositeSoftmax(Exp(center=-1.0, width=0.05, tail=2.0), targets=POSITIVES),
    "softplus": CompositeSoftmax(Identity() + Softplus(center=0.2, width=0.1), targets=POSITIVES),
    "sigmoid": CompositeSoftmax(12.0 * Sigmoid(center=0.3, width=0.1) + 0.2 * Identity(), targets=POSITIVES),
    "asinh": CompositeSoftmax(Asinh(center=0.3, width=0.1), targets=Gains()),
    "sinh": CompositeSoftmax(Sinh(center=0.0, width=0.2), targets=POSITIVES),
    "piecewise": CompositeSoftmax(Piecewise((0.2,), (1.0, 9.0)), targets=POSITIVES),
    "running": CompositeSoftmax(RunningCenter(Softplus(width=0.1), of="positives"), targets=POSITIVES),
    "scores": CompositeSoftmax(Identity(width=0.5)),
    "matching": CompositeSoftmax(Exp(), form="matching"),
    "contrast": CompositeContrast(Sigmoid()),
    "RankNet": RankNet(),
    "LambdaRank": LambdaRank(),
    "ListMLE": ListMLE(),
    "ApproxNDCG": ApproxNDCG(),
    "MSE": MSE(),
    "Matching": Matching(Sigmoid()),
}


def problem(lists=9, docs=23, seed=0, hidden=True):
    """Vectors, and columns in which some lists have several positives, hard negatives, and documents that are hidden."""
    random = torch.Generator().manual_seed(seed)
    queries, vectors = (nn.functional.normalize(torch.randn(n, 8, generator=random), dim=-1) for n in (lists, docs))
    places, labels, hides = [], [], []
    for i in range(lists):
        order = torch.randperm(docs, generator=random)
        places.append(order[: 1 + i % 3])
        labels.append(torch.tensor([1.0, 2.0 if i % 2 else 0.0, 0.0])[: 1 + i % 3])
        hides.append(order[5 : 5 + (i % 4 if hidden else 0)])
    offsets = [torch.tensor([0, *torch.tensor([len(p) for p in parts]).cumsum(0)]) for parts in (places, hides)]
    columns = Columns(docs, offsets[0], torch.cat(places), torch.cat(labels), offsets[1], torch.cat(hides))
    return queries.requires_grad_(), vectors.requires_grad_(), columns


def dense(loss, queries, docs, columns, shift, weights=None):
    labels, mask = torch.zeros(len(queries), len(docs)), torch.ones(len(queries), len(docs), dtype=torch.bool)
    for i, (start, stop) in enumerate(zip(columns.list_offsets, columns.list_offsets[1:], strict=False)):
        labels[i, columns.places[start:stop]] = columns.labels[start:stop]
    for i, (start, stop) in enumerate(zip(columns.hidden_offsets, columns.hidden_offsets[1:], strict=False)):
        mask[i, columns.hidden[start:stop]] = False
    loss.reduction = "none"
    return loss(queries @ docs.T + shift, labels, mask, weights).sum(), loss.contributes(labels, mask).sum()


@pytest.mark.parametrize("block", [1, 7 * 23, 10**6])
@pytest.mark.parametrize("name", LOSSES)
def test_blocks_give_the_values_and_gradients_of_the_dense_matrix(name, block):
    loss = LOSSES[name].train()
    if name == "running":  # it moved already: both sides see one centre
        loss.transform.center.fill_(0.4)
        loss.eval()
    queries, docs, columns = problem()
    shift, weights = torch.tensor(0.1, requires_grad=True), torch.rand(9) + 0.5
    total, count = in_batch(loss, queries, docs, columns, shift, weights, block)
    got = torch.autograd.grad(3 * total, (queries, docs, shift))
    wanted, contributing = dense(loss, queries, docs, columns, shift, weights)
    expected = torch.autograd.grad(3 * wanted, (queries, docs, shift))
    torch.testing.assert_close(total, wanted, rtol=1e-5, atol=1e-5)
    assert count == contributing
    for mine, theirs in zip(got[:2], expected, strict=False):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * max(1, theirs.abs().max()))
    # a sum of gradients that mostly cancel
    torch.testing.assert_close(got[2], expected[2], rtol=1e-5, atol=1e-5 * float(expected[0].abs().sum()))


@pytest.mark.parametrize("expression", cases.LOSSES)
def test_every_loss_on_a_whole_batch_costs_what_the_dense_matrix_costs(expression):
    loss = cases.made(expression)
    queries, docs, columns = problem(5, 11)
    columns = replace(columns, labels=(columns.labels > 0).float())  # grades, scores, shares and values of links alike
    shift = torch.tensor(0.1, requires_grad=True)
    total, count = in_batch(loss, queries, docs, columns, shift, block=22)
    wanted, contributing = dense(loss, queries, docs, columns, shift)
    torch.testing.assert_close(total, wanted, rtol=1e-5, atol=1e-5)
    assert count == contributing
    gradients = (torch.autograd.grad(cost, (queries, docs), allow_unused=True) for cost in (total, wanted))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * max(1, float(theirs.abs().max())))


def test_infonce_is_the_identity_of_width_t():
    """Identity(width=T) is InfoNCE at temperature T exactly, for one positive."""
    queries, docs, _ = problem(6, 20)
    every = torch.arange(7)
    none = torch.zeros(7, dtype=torch.int64)
    columns = Columns(20, every, torch.arange(6), torch.ones(6), none, torch.zeros(0, dtype=torch.int64))
    found = [
        torch.autograd.grad(in_batch(loss, queries, docs, columns)[0], (queries, docs))
        for loss in (LOSSES["InfoNCE"], LOSSES["identity"])
    ]
    plain = nn.functional.cross_entropy(queries @ docs.T / 0.05, torch.arange(6), reduction="sum")
    for one, other, theirs in zip(*found, torch.autograd.grad(plain, (queries, docs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(one, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["InfoNCE", "identity", "softplus", "ListNet", "LambdaRank"])
def test_masked_by_id_is_the_matrix_without_those_columns(name):
    queries, docs, columns = problem(1, 12)
    hidden = torch.tensor([i for i in range(12) if i != int(columns.places[0])][:4])
    masked = Columns(12, columns.list_offsets, columns.places, columns.labels, torch.tensor([0, 4]), hidden)
    total, _ = in_batch(LOSSES[name], queries, docs, masked)
    to_query, to_docs = torch.autograd.grad(total, (queries, docs))
    left = torch.tensor([i for i in range(12) if i not in hidden.tolist()])
    place = (left == columns.places[0]).nonzero()[0]
    fewer = Columns(8, columns.list_offsets, place, columns.labels, torch.tensor([0, 0]), hidden[:0])
    without, _ = in_batch(LOSSES[name], queries, docs[left], fewer)
    torch.testing.assert_close(total, without)
    torch.testing.assert_close(to_query, torch.autograd.grad(without, queries)[0])
    assert not to_docs[hidden].any()


def test_a_loss_of_ones_own_that_changes_the_costs_is_taken_by_autograd():
    class Doubled(InfoNCE):
        def costs(self, scores, labels, mask):
            return 2 * super().costs(scores, labels, mask)

    queries, docs, columns = problem()
    mine, theirs = (in_batch(loss, queries, docs, columns)[0] for loss in (Doubled(0.5), InfoNCE(0.5)))
    torch.testing.assert_close(mine, 2 * theirs)


def test_lists_that_contribute_nothing_have_no_gradient():
    queries, docs, _ = problem(2, 3)
    columns = Columns(3, torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.tensor([1.0, 0.0]),
                      torch.tensor([0, 2, 2]), torch.tensor([1, 2]))  # fmt: skip
    for name in ("InfoNCE", "identity", "exp", "SoftmaxCE", "LambdaRank"):
        total, count = in_batch(LOSSES[name], queries, docs, columns)
        assert (float(total.detach()), int(count)) == (0.0, 0), name
        assert not any(g.any() for g in torch.autograd.grad(total, (queries, docs))), name


def test_a_running_centre_moves_once_a_step_to_the_mean_of_the_positives():
    loss = CompositeSoftmax(
        RunningCenter(Identity() + Softplus(width=0.1), of="positives", momentum=0.5), targets=POSITIVES
    )
    queries, docs, columns = problem()
    owners = torch.arange(9).repeat_interleave(columns.list_offsets.diff())
    level = (queries @ docs.T)[owners, columns.places][columns.labels > 0].mean()
    for block in (1, 10**6):
        loss.transform.center.zero_(), loss.transform.started.zero_()
        in_batch(loss, queries, docs, columns, block=block)
        torch.testing.assert_close(loss.transform.center, level.detach())
    in_batch(loss, queries, docs, columns, shift=torch.tensor(1.0))
    torch.testing.assert_close(loss.transform.center, level.detach() + 0.5)


def test_a_quantile_of_all_scores_is_the_mean_of_the_lists_quantiles():
    loss = CompositeSoftmax(RunningCenter(Softplus(), quantile=0.9), targets=POSITIVES)
    queries, docs, columns = problem(hidden=False)
    in_batch(loss, queries, docs, columns, block=40)
    torch.testing.assert_close(loss.transform.center, (queries @ docs.T).detach().quantile(0.9, dim=1).mean())


def test_what_does_not_fit_is_refused():
    queries, docs, columns = problem()
    loss = InfoNCE()
    with pytest.raises(ShapeError, match=r"InfoNCE: queries and docs must be vectors .*got \[9, 8\] and \[23\]"):
        in_batch(loss, queries, docs[:, 0], columns)
    with pytest.raises(ShapeError, match="columns of 9 lists and 23 documents need as many vectors, got 8 and 23"):
        in_batch(loss, queries[:8], docs, columns)
    with pytest.raises(DataError, match="vectors must be finite, got NaN or infinite numbers in docs 3"):
        in_batch(loss, queries, docs.detach().index_fill(0, torch.tensor([3]), torch.nan), columns)
    with pytest.raises(ShapeError, match="Columns: places must lie below 5, the documents, got"):
        Columns(5, columns.list_offsets, columns.places, columns.labels, columns.hidden_offsets, columns.hidden)
    with pytest.raises(ShapeError, match="Columns: labels must be one value for each of"):
        Columns(23, columns.list_offsets, columns.places, columns.labels[1:], columns.hidden_offsets, columns.hidden)
    negative = Columns(
        23, columns.list_offsets, columns.places, -columns.labels, columns.hidden_offsets, columns.hidden
    )
    with pytest.raises(DataError, match="SoftmaxCE"):
        in_batch(SoftmaxCE(), queries, docs, negative)


def test_a_common_shift_changes_nothing_only_for_affine_links():
    queries, docs, columns = problem()
    for name, moves in (
        ("InfoNCE", False),
        ("identity", False),
        ("SoftmaxCE", False),
        ("softplus", True),
        ("exp", True),
    ):
        plain, shifted = (
            in_batch(LOSSES[name], queries, docs, columns, shift)[0] for shift in (None, torch.tensor(0.3))
        )
        assert torch.allclose(plain, shifted, rtol=1e-5) is not moves, name


@pytest.mark.parametrize("name", ["InfoNCE", "identity", "softplus", "exp", "sigmoid", "SoftmaxCE", "RankNet"])
def test_scores_of_ten_thousand_give_finite_costs_and_gradients(name):
    queries, docs, columns = problem()
    total, _ = in_batch(LOSSES[name], queries * 1e4, docs, columns)
    assert total.isfinite()
    assert all(g.isfinite().all() for g in torch.autograd.grad(total, (queries, docs)))
