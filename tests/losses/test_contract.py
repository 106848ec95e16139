"""The laws that every loss keeps, over every loss in ``cases.LOSSES``: form, values, gradients, lists, links."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from hypothesis import settings

from ltr import losses
from ltr.links import Identity, Link
from ltr.losses.base import LEFT_OUT, Loss
from ltr.losses.engines import blocks
from tests.losses.cases import (
    LOSSES,
    NAMES,
    NEEDS,
    PROBE_LABELS,
    PROBE_MASK,
    batch_for,
    constructor_arguments,
    made,
    rebuilt,
)
from tests.losses.laws import (
    ALL,
    EXACT,
    FEW_PAIRS,
    costs_and_gradient,
    each_list,
    every_loss,
    every_loss_in_blocks,
    few,
    losses_where,
    random_seed,
)


@pytest.fixture(autouse=True)
def at_once(request, monkeypatch):
    """How many pairs make a block, where a test says so."""
    pairs = getattr(request, "param", None)
    if pairs is not None:
        monkeypatch.setattr(blocks, "CPU_PAIRS", pairs)


def test_every_public_loss_has_a_case():
    public = {n for n in losses.__all__ if isinstance(NAMES[n], type) and issubclass(NAMES[n], Loss)} - {
        "Loss",
        "PairLoss",
    }
    assert public == {type(made(expression)).__name__ for expression in LOSSES}


def test_families_hold_every_loss_once():
    names = [name for family in losses.FAMILIES.values() for name in family]
    assert len(names) == len(set(names))
    assert all(issubclass(NAMES[name], Loss) for name in names)


@every_loss
def test_laws_that_do_not_hold_are_explained(expression):
    assert made(expression).laws.unexplained() == []


@every_loss
def test_losses_that_see_labels_as_good_or_bad_alone_say_so(expression):
    loss = made(expression, reduction="none")
    same = True
    for seed in range(4):
        batch = batch_for(loss, seed)
        told, seen = batch.labels, (batch.labels > 0).to(batch.labels)
        costs = [loss(batch.scores, labels, batch.mask) for labels in (told, seen)]
        same = same and torch.allclose(*costs, rtol=1e-9, atol=1e-12)
    # of ORPO the likelihood does, and the order of pairs does not
    assert loss.good_or_bad() == (same or isinstance(loss, losses.ORPO))


@every_loss
def test_docstring_names_its_source_and_shows_an_example(expression):
    text = type(made(expression)).__doc__
    assert "Source:" in text
    assert ">>>" in text
    assert len(text.splitlines()) <= 32


@every_loss
def test_repr_is_python_that_makes_the_loss_again(expression):
    loss = made(expression)
    assert repr(eval(repr(loss), dict(NAMES))) == repr(loss)
    assert "\n" not in repr(loss)
    assert repr(rebuilt(loss, reduction="sum")) != repr(loss)
    for part in constructor_arguments(loss):
        assert (f"{part}={getattr(loss, part)!r}" in repr(loss)) is ((part, getattr(loss, part)) not in LEFT_OUT)


@every_loss
def test_copies_and_pickles_give_the_same_cost(expression):
    loss = made(expression)
    b = batch_for(loss, 1)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert repr(twin) == repr(loss)
        assert torch.equal(twin(b.scores, b.labels, b.mask), loss(b.scores, b.labels, b.mask))


# values


@every_loss
@random_seed
@few
def test_never_below_its_bound(expression, seed):
    loss = made(expression)
    for spread in (0.1, 2.0, 30.0):
        b = batch_for(loss, seed, spread=spread)
        costs, _ = costs_and_gradient(loss, b.scores, b.labels, b.mask)
        assert (costs >= loss.laws.lower_bound - 1e-6 * (1 + costs.abs().max())).all()
        costs, _ = costs_and_gradient(loss, b.scores.float(), b.labels, b.mask)
        assert (costs >= loss.laws.lower_bound - 1e-6 * (1 + spread)).all()


@losses_where(lambda loss: loss.laws.divergence)
@random_seed
@few
def test_divergences_are_zero_at_the_target_only(expression, seed):
    loss = made(expression)
    b = batch_for(loss, seed)
    target = loss.targets.scores(b.labels) if hasattr(loss, "targets") else b.labels
    costs, gradient = costs_and_gradient(loss, target, b.labels, b.mask)
    assert costs.abs().max() <= 1e-12
    assert gradient.abs().max() <= 1e-10
    moved = target + torch.linspace(-1, 1, target.shape[-1])
    costs, _ = costs_and_gradient(loss, moved, b.labels, b.mask)
    assert (costs[loss.contributes(b.labels, b.mask)] > 0).all()


@every_loss
@pytest.mark.parametrize(
    ("dtype", "at_once"),
    [(torch.float32, FEW_PAIRS), *((t, None) for t in (torch.float32, torch.bfloat16, torch.float16, torch.float64))],
    indirect=["at_once"],
)
def test_finite_for_extreme_scores(expression, dtype):
    loss = made(expression)
    for seed in range(3):
        b = batch_for(loss, seed, docs=8)
        far = 1e4 * torch.randn(b.scores.shape, generator=torch.Generator().manual_seed(seed)).sign()
        for scores in (far, far * torch.rand(far.shape), torch.full_like(far, -1e4), torch.zeros_like(far)):
            labels = b.labels if loss.laws.labels != "scores" or seed else -far.double()
            costs, gradient = costs_and_gradient(loss, scores.to(dtype), labels, b.mask)
            assert costs.isfinite().all()
            assert gradient.isfinite().all()
            assert gradient.dtype == dtype


@every_loss
def test_computes_in_float32_or_wider(expression):
    loss = made(expression)
    b = batch_for(loss, 3)
    for low in (torch.bfloat16, torch.float16):
        rounded = b.scores.to(low)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cost = loss(rounded, b.labels, b.mask)
        assert cost.dtype == torch.float32
        assert torch.equal(cost, loss(rounded.float(), b.labels, b.mask))
    assert loss(b.scores, b.labels, b.mask).dtype == torch.float64


@every_loss
@random_seed
@few
def test_float32_agrees_with_float64(expression, seed):
    loss = made(expression)
    b = batch_for(loss, seed)
    costs, gradient = costs_and_gradient(loss, b.scores, b.labels, b.mask)
    costs32, gradient32 = costs_and_gradient(loss, b.scores.float(), b.labels, b.mask)
    # float32 rounding of a softmax in large numbers, such as sinh of a score of 6
    torch.testing.assert_close(costs32.double(), costs, rtol=2e-5, atol=2e-5 * float(1 + costs.abs().max()))
    torch.testing.assert_close(gradient32.double(), gradient, rtol=1e-4, atol=1e-4 * float(1 + gradient.abs().max()))


# gradients


@every_loss_in_blocks
@random_seed
@settings(max_examples=2, deadline=None, derandomize=True)
def test_gradient_is_that_of_the_cost(expression, seed):
    loss = each_list(made(expression))
    b = batch_for(loss, seed, lists=2, docs=4)
    scores = b.leaf()
    assert torch.autograd.gradcheck(lambda s: loss(s, b.labels, b.mask), scores, atol=1e-5, rtol=1e-4)


@every_loss
def test_no_anomaly_on_the_way_back(expression):
    loss = made(expression)
    for scores in (torch.zeros(6, 2), torch.full((6, 2), torch.nan)):
        leaf = torch.where(PROBE_MASK, 0.0, scores).requires_grad_()
        labels = PROBE_LABELS.clamp(max=1) if loss.laws.labels == "binary" else PROBE_LABELS
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Anomaly Detection has been enabled")
            with torch.autograd.detect_anomaly():
                loss(leaf, labels, PROBE_MASK).backward()
        assert leaf.grad.isfinite().all()


# lists


@every_loss_in_blocks
@random_seed
@few
def test_permuted_documents_have_permuted_gradients(expression, seed):
    loss = made(expression)
    b = batch_for(loss, seed)
    if not loss.laws.ranks:  # ties in scores, where they do not matter
        b.scores = b.scores.round()
    order = torch.randperm(b.scores.shape[-1], generator=torch.Generator().manual_seed(seed))
    costs, gradient = costs_and_gradient(loss, b.scores, b.labels, b.mask)
    moved, moved_gradient = costs_and_gradient(loss, b.scores[:, order], b.labels[:, order], b.mask[:, order])
    torch.testing.assert_close(moved, costs, **EXACT)
    torch.testing.assert_close(moved_gradient, gradient[:, order], **EXACT)


@every_loss_in_blocks
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_padding_changes_nothing(expression, rubbish):
    loss = made(expression)
    b = batch_for(loss, 5, lists=4, ragged=False)
    costs, gradient = costs_and_gradient(loss, b.scores, b.labels, b.mask)
    padded = {name: torch.full((4, 9), rubbish, dtype=torch.float64) for name in ("scores", "labels")}
    mask = torch.zeros(4, 9, dtype=torch.bool)
    places = [0, 2, 3, 5, 6, 8]
    mask[:, places] = True
    padded["scores"][:, places], padded["labels"][:, places] = b.scores, b.labels
    padded_costs, padded_gradient = costs_and_gradient(loss, padded["scores"], padded["labels"], mask)
    torch.testing.assert_close(padded_costs, costs, **EXACT)
    torch.testing.assert_close(padded_gradient[:, places], gradient, **EXACT)
    assert (padded_gradient[~mask] == 0).all()


@every_loss_in_blocks
@random_seed
@few
def test_a_batch_equals_its_lists_one_by_one(expression, seed):
    loss = made(expression)
    b = batch_for(loss, seed, lists=4)
    costs, gradient = costs_and_gradient(loss, b.scores, b.labels, b.mask)
    for i, keep in enumerate(b.mask):
        alone, alone_gradient = costs_and_gradient(loss, b.scores[i, keep][None], b.labels[i, keep][None], None)
        torch.testing.assert_close(alone, costs[i : i + 1], **EXACT)
        torch.testing.assert_close(alone_gradient[0], gradient[i, keep], **EXACT)


@losses_where(lambda loss: loss.laws.shift)
@random_seed
@few
def test_shifted_scores_cost_the_same(expression, seed):
    loss = made(expression)
    b = batch_for(loss, seed)
    for shift in (-3.0, 100.0):
        moved, moved_gradient = costs_and_gradient(loss, b.scores + shift, b.labels, b.mask)
        costs, gradient = costs_and_gradient(loss, b.scores, b.labels, b.mask)
        torch.testing.assert_close(moved, costs, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(moved_gradient, gradient, rtol=1e-8, atol=1e-8)


@every_loss
def test_contributing_lists_are_those_that_can_teach(expression):
    loss = made(expression)
    expected = NEEDS[ALL[expression]]
    assert loss.contributes(PROBE_LABELS, PROBE_MASK).tolist() == expected
    rubbish = torch.where(PROBE_MASK, PROBE_LABELS, torch.nan)
    assert loss.contributes(rubbish, PROBE_MASK).tolist() == expected
    full = PROBE_MASK.all(-1)
    assert loss.contributes(PROBE_LABELS[full]).tolist() == [e for e, f in zip(expected, full, strict=True) if f]


@every_loss
@random_seed
@few
def test_lists_that_do_not_contribute_cost_nothing(expression, seed):
    loss = made(expression)
    labels = PROBE_LABELS.clamp(max=1) if loss.laws.labels == "binary" else PROBE_LABELS
    scores = 3 * torch.randn(labels.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    keep = loss.contributes(labels, PROBE_MASK)
    costs, gradient = costs_and_gradient(loss, scores, labels, PROBE_MASK)
    assert (costs[~keep] == 0).all()
    assert (gradient[~keep] == 0).all()
    assert (costs[keep] != 0).any()
    mean = loss(scores, labels, PROBE_MASK)
    torch.testing.assert_close(mean, costs.sum() / keep.sum(), **EXACT)


@every_loss
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0), (2, 3)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nothing_real_costs_nothing(expression, shape, reduction):
    loss = made(expression, reduction=reduction).train()
    scores = torch.full(shape, torch.nan, requires_grad=True)
    cost = loss(scores, torch.full(shape, torch.nan), torch.zeros(shape, dtype=torch.bool))
    assert cost.shape == (shape[:1] if reduction == "none" else ())
    assert (cost == 0).all()
    cost.sum().backward()
    assert (scores.grad == 0).all()


# links


@losses_where(lambda loss: isinstance(getattr(loss, "link", None), Link) and "scores" in loss.targets.readings)
@random_seed
@few
def test_matching_losses_are_linear_in_the_link(expression, seed):
    loss = made(expression)
    link = loss.link
    b = batch_for(loss, seed)
    cost, gradient = costs_and_gradient(loss, b.scores, b.labels, b.mask)
    floor, floor_gradient = costs_and_gradient(rebuilt(loss, link=Identity()), b.scores, b.labels, b.mask)
    both = rebuilt(loss, link=2.5 * link + 0.5 * Identity())
    both_cost, both_gradient = costs_and_gradient(both, b.scores, b.labels, b.mask)
    torch.testing.assert_close(both_cost, 2.5 * cost + 0.5 * floor, **EXACT)
    torch.testing.assert_close(both_gradient, 2.5 * gradient + 0.5 * floor_gradient, **EXACT)
