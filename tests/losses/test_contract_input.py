"""What every loss does with its input: reductions, weights, labels, shapes, training mode; over ``cases.LOSSES``."""

from __future__ import annotations

import pytest
import torch

from ltr.errors import ConfigError, DataError, ShapeError
from tests.losses.cases import (
    batch_for,
    labels_for,
    made,
    rebuilt,
)
from tests.losses.laws import EXACT, each_list, every_loss, few, losses_where, random_seed

# reductions and weights


@every_loss
@random_seed
@few
def test_reductions_sum_and_average_over_contributing_lists(expression, seed):
    loss = made(expression)
    b = batch_for(loss, seed, lists=5)
    each = rebuilt(loss, reduction="none")(b.scores, b.labels, b.mask)
    keep = loss.contributes(b.labels, b.mask)
    total = rebuilt(loss, reduction="sum")(b.scores, b.labels, b.mask)
    torch.testing.assert_close(total, each.sum(), **EXACT)
    torch.testing.assert_close(loss(b.scores, b.labels, b.mask), each.sum() / keep.sum().clamp(min=1), **EXACT)


@every_loss
def test_sums_over_any_split_divided_by_the_global_number_give_the_mean(expression):
    loss = made(expression)
    b = batch_for(loss, 11, lists=7)
    total, number = 0, 0
    for part in (slice(0, 1), slice(1, 5), slice(5, 7)):
        total = total + rebuilt(loss, reduction="sum")(b.scores[part], b.labels[part], b.mask[part])
        number += loss.contributes(b.labels[part], b.mask[part]).sum()
    torch.testing.assert_close(total / number, loss(b.scores, b.labels, b.mask), **EXACT)


@every_loss
def test_weights_multiply_costs_and_not_what_a_mean_divides_by(expression):
    loss = made(expression)
    b = batch_for(loss, 13, lists=4)
    weights = torch.tensor([0.5, 0.0, 2.0, 3.0])
    each = rebuilt(loss, reduction="none")(b.scores, b.labels, b.mask)
    weighted = rebuilt(loss, reduction="none")(b.scores, b.labels, b.mask, weights)
    torch.testing.assert_close(weighted, each * weights, **EXACT)
    keep = loss.contributes(b.labels, b.mask)
    torch.testing.assert_close(loss(b.scores, b.labels, b.mask, weights), (each * weights).sum() / keep.sum(), **EXACT)


@every_loss
def test_weights_per_document_fit_pointwise_losses_only(expression):
    loss = each_list(made(expression))
    b = batch_for(loss, 17)
    weights = torch.where(b.mask, torch.rand(b.mask.shape), torch.nan)
    if not loss.pointwise:
        with pytest.raises(ShapeError, match=rf"{type(loss).__name__}: weights must be \[lists\] of scores \[3, 6\]"):
            loss(b.scores, b.labels, b.mask, weights)
        return
    expected = 0
    for j in range(6):
        alone = loss(b.scores[:, j : j + 1], b.labels[:, j : j + 1], b.mask[:, j : j + 1])
        expected = expected + alone * torch.where(b.mask[:, j], weights[:, j], 0)
    expected = expected / b.mask.sum(-1).clamp(min=1)
    torch.testing.assert_close(loss(b.scores, b.labels, b.mask, weights), expected, **EXACT)


# input


@every_loss
def test_whole_number_labels_are_taken(expression):
    loss = made(expression)
    labels = torch.tensor([[0, 1, 1], [1, 0, 0]])
    scores = torch.tensor([[0.5, -1.0, 2.0], [0.0, 1.0, 3.0]])
    assert torch.equal(loss(scores, labels), loss(scores, labels.float()))


@every_loss
def test_transposed_inputs_are_taken_without_a_warning(expression):
    loss = made(expression)
    b = batch_for(loss, 29)
    turned = [given_.t().contiguous().t() for given_ in (b.scores, b.labels, b.mask)]
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # torch says some things once in a process
    try:
        assert torch.equal(loss(*turned), loss(b.scores, b.labels, b.mask))
    finally:
        torch.set_warn_always(always)


@every_loss
def test_costs_in_inference_mode_are_the_same(expression):
    loss = made(expression)
    b = batch_for(loss, 31)
    with torch.inference_mode():
        found = loss(b.scores, b.labels, b.mask)
    assert torch.equal(found, loss(b.scores, b.labels, b.mask))


@every_loss
@pytest.mark.parametrize("dtype", [torch.int64, torch.float16])
def test_lists_contribute_whatever_the_type_of_their_labels(expression, dtype):
    loss = made(expression)
    labels = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert torch.equal(loss.contributes(labels.to(dtype)), loss.contributes(labels))


@every_loss
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("what", ["scores", "labels", "weights"])
def test_real_values_must_be_finite(expression, value, what):
    loss = made(expression)
    b = batch_for(loss, 19, ragged=False)
    given_ = {"scores": b.scores, "labels": b.labels, "weights": torch.ones(3)}
    place = (1, 2) if what != "weights" else (1,)
    given_[what][place] = value
    where = "list 1, document 2" if what != "weights" else "list 1"
    with pytest.raises(DataError, match=f"{type(loss).__name__}: {what} must be finite, got {value} at {where}; mask"):
        loss(mask=b.mask, **given_)


@every_loss
def test_shapes_must_fit(expression):
    loss = made(expression)
    name, ones = type(loss).__name__, torch.ones(2, 3)
    with pytest.raises(
        ShapeError, match=rf"{name}: scores must be \[lists, docs\], got \[3\]; for one list use scores"
    ):
        loss(torch.ones(3), torch.ones(3))
    with pytest.raises(ShapeError, match=rf"{name}: labels must have the scores' shape \[2, 3\], got \[2, 2\]"):
        loss(ones, torch.ones(2, 2))
    with pytest.raises(ShapeError, match=rf"{name}: mask must be bool \[2, 3\] .*got torch.float32 \[2, 3\]"):
        loss(ones, ones, ones)
    with pytest.raises(ShapeError, match=rf"{name}: scores must be floating point, got torch.int64"):
        loss(ones.long(), ones)
    with pytest.raises(ShapeError, match=rf"{name}: weights must be \[lists\]"):
        loss(ones, ones, weights=torch.ones(4))


@every_loss
def test_unknown_reductions_are_refused(expression):
    with pytest.raises(ConfigError, match=r"reduction must be one of mean, sum, none, got 'average'"):
        made(expression, reduction="average")


@losses_where(lambda loss: "gains=" in repr(loss))
def test_gains_refuse_labels_that_are_no_grades(expression):
    loss = made(expression)
    scores = torch.zeros(2, 3)
    with pytest.raises(DataError, match=r"grades must not be negative.*-1 at list 1, document 2"):
        loss(scores, torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, -1.0]]))
    if "linear" in repr(loss):
        assert loss(scores, torch.tensor([[0.0, 0.5, 200.0]] * 2)).isfinite()
        return
    with pytest.raises(DataError, match=r"grades must be whole numbers.*0.5 at list 1, document 0"):
        loss(scores, torch.tensor([[0.0, 1.0, 2.0], [0.5, 0.0, 1.0]]))
    with pytest.raises(DataError, match=r"gains 2\^grade - 1 must not overflow.*200 at list 0, document 2"):
        loss(scores, torch.tensor([[0.0, 1.0, 200.0], [1.0, 0.0, 1.0]]))


@every_loss
def test_training_mode_moves_running_centres_and_nothing_else(expression):
    loss = made(expression)
    b = batch_for(loss, 23)
    before = loss(b.scores, b.labels, b.mask)
    loss.train()(b.scores + 5, b.labels, b.mask)
    state = loss.state_dict()
    assert bool(state) == ("RunningCenter" in repr(loss))
    if not state:
        assert torch.equal(loss(b.scores, b.labels, b.mask), before)
        return
    twin = made(expression)
    twin.load_state_dict(state)
    loss.eval()
    assert torch.equal(twin(b.scores, b.labels, b.mask), loss(b.scores, b.labels, b.mask))
    assert not torch.equal(loss(b.scores, b.labels, b.mask), before)


def test_labels_of_each_kind_are_drawn():
    generator = torch.Generator().manual_seed(0)
    grades = labels_for(made("ListNet()"), (200,), generator)
    assert set(grades.tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    binary = labels_for(made("BCE()"), (200,), generator)
    assert 0 < ((binary > 0) & (binary < 1)).sum() < 200
