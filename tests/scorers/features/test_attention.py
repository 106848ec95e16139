"""Attention over the list; what it shares with the other scorers on features is tested in test_features.py."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from ltr.batch import FeatureLists
from ltr.errors import ConfigError
from ltr.scorers import AttentionScorer
from ltr.scorers.features import attention
from ltr.scorers.features.attention import plan
from tests.scorers.features.test_scorers import N, batch


@pytest.fixture
def scorer():
    torch.manual_seed(2)
    return AttentionScorer(width=16, heads=2, n_features=N).eval()


def test_documents_see_those_of_their_list_and_no_others(scorer):
    whole = batch()
    before = scorer(whole)
    whole.features[0] += 1.0  # the first document of the first list
    moved = (scorer(whole) - before).abs() > 1e-6
    assert moved[0, :3].all()
    assert not moved[1:].any()


def test_a_document_in_several_rows_is_seen_with_all_of_them(scorer):
    whole = batch()
    twice = torch.arange(whole.n_docs).repeat_interleave(2)
    read = FeatureLists(
        whole.list_offsets, features=whole.features, rows=twice, row_offsets=torch.arange(len(twice) + 1)[::2]
    )
    torch.testing.assert_close(
        scorer(read), scorer(whole), rtol=1e-5, atol=1e-5
    )  # attention to twice the same is the same


def test_permuting_the_documents_of_every_list_permutes_their_scores(scorer):
    whole = batch()
    offsets = whole.list_offsets.tolist()
    order = torch.cat([torch.randperm(e - s) + s for s, e in pairwise(offsets)])
    moved = FeatureLists.of(whole.features[order].numpy(), whole.list_offsets.numpy())
    torch.testing.assert_close(scorer(moved)[moved.mask], scorer(whole)[whole.mask][order], rtol=1e-5, atol=1e-5)


def test_neither_scores_nor_gradients_depend_on_how_many_lists_attend_at_once(scorer, monkeypatch):
    def found():
        scorer.zero_grad()
        scores = scorer(batch([3, 0, 5, 1, 2]))
        scores.square().sum().backward()
        return scores.detach(), [p.grad.clone() for p in scorer.parameters()]

    together = found()
    monkeypatch.setattr(attention, "PAIRS", 1)
    apart = found()
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
    assert all(gradient.isfinite().all() for gradient in together[1])


def test_lists_attend_in_goes_of_bounded_size(monkeypatch):
    monkeypatch.setattr(attention, "PAIRS", 20)
    offsets = torch.tensor([0, 3, 3, 4, 6, 16])
    goes = plan(offsets)
    assert [list(mask.shape) for _, mask in goes] == [[2, 2], [1, 3], [1, 10]]
    assert sorted(torch.cat([at[mask] for at, mask in goes]).tolist()) == list(range(16))


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    scorer = AttentionScorer(width=8, layers=1, heads=2, dropout=0.5, n_features=N)
    assert not torch.equal(scorer(batch()), scorer(batch()))
    assert torch.equal(scorer.eval()(batch()), scorer(batch()))


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({"width": 10, "heads": 4}, "width 10, layers 2, heads 4"),
        ({"layers": 0}, "width 64, layers 0, heads 4"),
        ({"heads": 0}, "width 64, layers 2, heads 0"),
        ({"width": 0}, "width 0, layers 2, heads 4"),
    ],
)
def test_settings_are_checked(settings, given):
    with pytest.raises(ConfigError, match=f"AttentionScorer: needs at least one layer and head, .*; got {given}"):
        AttentionScorer(**settings)
    with pytest.raises(ConfigError, match=r"AttentionScorer: dropout must be at least 0 and below 1, got -0.1"):
        AttentionScorer(dropout=-0.1)


def test_half_precision_stays_near(scorer):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = scorer(batch())
    assert low.dtype == torch.float32
    np.testing.assert_allclose(low.detach(), scorer(batch()).detach(), atol=0.1)
