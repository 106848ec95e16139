"""Blocks cover every pair once, stay within their limit, and hand on gradients that were computed on the way."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import LtrError
from ltr.losses.engines.blocks import attached, blocks

few = settings(max_examples=60, deadline=None, derandomize=True)


def sorted_lists(seed, lists, docs, labels):
    """first, stop of lists sorted by falling label, as the pair losses have them."""
    generator = torch.Generator().manual_seed(seed)
    stop = torch.randint(0, docs + 1, (lists,), generator=generator)
    values = torch.randint(0, labels, (lists, docs), generator=generator).float()
    values[torch.arange(docs) >= stop[:, None]] = -torch.inf
    values = values.sort(descending=True).values
    return torch.searchsorted(-values, -values, right=True), stop


@few
@given(
    st.integers(0, 10**6),
    st.integers(0, 4),
    st.integers(0, 60),
    st.sampled_from([1, 2, 5, 1000]),
    st.sampled_from([1, 7, 64, 900, 10**6]),
)
def test_every_pair_is_in_exactly_one_block(seed, lists, docs, labels, limit):
    first, stop = sorted_lists(seed, lists, docs, labels)
    column = torch.arange(docs)
    wanted = (column >= first[:, :, None]) & (column < stop[:, None, None])
    seen = torch.zeros(lists, docs, docs, dtype=torch.int64)
    for block in blocks(first, stop, limit):
        seen[block.lists, block.rows, block.cols] += 1
        if block.whole:
            assert wanted[block.lists, block.rows, block.cols].all()
        size = seen[block.lists, block.rows, block.cols].numel()
        assert 0 < size <= max(limit, docs)
    assert (seen[wanted] == 1).all()
    assert seen.max() <= 1 if seen.numel() else True


@few
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 60), st.sampled_from([7, 900, 10**6]))
def test_rows_without_pairs_cost_nothing(seed, lists, docs, limit):
    _, stop = sorted_lists(seed, lists, docs, 2)
    none = stop[:, None].expand(lists, docs)
    assert not list(blocks(none, stop, limit))


@pytest.mark.parametrize("at_once", [2, 4])
def test_short_lists_together_hold_few_pairs_that_do_not_count(at_once):
    # no two labels alike: half of all pairs count, and a quarter of the rows at a time covers 5/8
    docs = 60
    first = torch.arange(1, docs + 1).expand(4, docs)
    cut = list(blocks(first, torch.full((4,), docs), at_once * docs * docs))
    held = torch.zeros(4, docs, docs)
    size = sum(held[b.lists, b.rows, b.cols].numel() for b in cut)
    assert {b.lists.stop - b.lists.start for b in cut} == {at_once}
    assert size <= 1.4 * 4 * docs * (docs - 1) / 2


def test_one_relevant_document_in_a_long_list_is_one_whole_block():
    labels = torch.zeros(1, 5000)
    labels[0, 0] = 1
    first = torch.searchsorted(-labels, -labels, right=True)
    (block,) = blocks(first, torch.tensor([5000]), 1 << 18)
    assert (block.rows, block.cols, block.whole) == (slice(0, 1), slice(1, 5000), True)


def test_attached_gradients_are_scaled_by_what_comes_from_outside():
    scores = torch.zeros(2, 3, requires_grad=True)
    gradient = torch.arange(6.0).reshape(2, 3)
    (attached(scores, torch.tensor([5.0, 7.0]), gradient) * torch.tensor([1.0, -2.0])).sum().backward()
    assert scores.grad.tolist() == [[0, 1, 2], [-6, -8, -10]]


def test_second_derivatives_are_refused_by_name():
    scores = torch.zeros(1, 2, requires_grad=True)
    costs = attached(scores, torch.ones(1), torch.ones(1, 2))
    (gradient,) = torch.autograd.grad(costs.sum(), scores, create_graph=True)
    with pytest.raises(LtrError, match=r"first derivatives only, .* got a request for their second derivatives: leave"):
        gradient.sum().backward()
