"""LambdaRank and the LambdaLoss family: by hand from the papers, and against plain loops."""

from __future__ import annotations

import math
from math import log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.losses.lambdas import LambdaLoss, LambdaRank
from tests.reference import pairs as reference

settings_of = given(
    st.integers(0, 10**6), st.integers(2, 8), st.sampled_from(["exponential", "linear"]), st.sampled_from([None, 1, 3])
)
few = settings(max_examples=25, deadline=None, derandomize=True)


def one_list(seed, docs):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(1, docs, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (1, docs), generator=generator).double()
    labels[0, 0], labels[0, 1] = 0, 3
    return scores, labels


@settings_of
@few
def test_lambdarank_follows_its_definition(seed, docs, gains, cutoff):
    scores, labels = one_list(seed, docs)
    wanted = reference.lambda_sum(reference.swap_change, 1.5, scores[0].tolist(), labels[0].tolist(), gains, cutoff)
    assert LambdaRank(gains, cutoff, 1.5)(scores, labels).item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@settings_of
@few
def test_ndcg_loss1_follows_its_definition(seed, docs, gains, cutoff):
    scores, labels = one_list(seed, docs)
    wanted = reference.ndcg_loss1(1.5, scores[0].tolist(), labels[0].tolist(), gains, cutoff)
    found = LambdaLoss("ndcg1", gains=gains, cutoff=cutoff, sigma=1.5)(scores, labels)
    assert found.item() == pytest.approx(wanted, rel=1e-9)


@settings_of
@few
def test_ndcg_loss2_follows_its_definition(seed, docs, gains, cutoff):
    scores, labels = one_list(seed, docs)
    wanted = reference.lambda_sum(reference.gap_weight, 1.5, scores[0].tolist(), labels[0].tolist(), gains, cutoff)
    found = LambdaLoss("ndcg2", gains=gains, cutoff=cutoff, sigma=1.5)(scores, labels)
    assert found.item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@settings_of
@few
def test_ndcg_loss2_plus_plus_is_lambdarank_plus_mu_times_ndcg_loss2(seed, docs, gains, cutoff):
    scores, labels = one_list(seed, docs)
    both = LambdaLoss("ndcg2++", 4.0, gains, cutoff)(scores, labels)
    parts = LambdaRank(gains, cutoff)(scores, labels) + 4 * LambdaLoss("ndcg2", gains=gains, cutoff=cutoff)(
        scores, labels
    )
    torch.testing.assert_close(both, parts, rtol=1e-9, atol=1e-12)
    assert torch.equal(
        LambdaLoss("ndcg2++", 0.0, gains, cutoff)(scores, labels), LambdaRank(gains, cutoff)(scores, labels)
    )


# grades 1, 0, 3 with scores 2, 1, 0: ranks 1, 2, 3; gains 1, 0, 7; ideal DCG 7 + 1/log2(3)
SCORES = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)
GRADES = torch.tensor([[1.0, 0.0, 3.0]], dtype=torch.float64)
IDEAL = 7 + 1 / log2(3)
D1, D2, D3 = 1.0, 1 / log2(3), 0.5


def cost(difference):
    return math.log(1 + math.exp(-difference))


def test_lambdarank_by_hand():
    wanted = (1 * (D1 - D2) * cost(1) + 6 * (D1 - D3) * cost(-2) + 7 * (D2 - D3) * cost(-1)) / IDEAL
    assert LambdaRank()(SCORES, GRADES).item() == pytest.approx(wanted, rel=1e-12)


def test_lambdarank_at_one_by_hand():
    # nDCG@1: ideal 7; only the pairs of the document at rank 1 change it
    wanted = (1 * D1 * cost(1) + 6 * D1 * cost(-2)) / 7
    assert LambdaRank(cutoff=1)(SCORES, GRADES).item() == pytest.approx(wanted, rel=1e-12)


def test_ndcg_loss1_by_hand():
    wanted = (1 * D1 * (cost(1) + cost(2)) + 7 * D3 * (cost(-2) + cost(-1))) / IDEAL
    assert LambdaLoss("ndcg1")(SCORES, GRADES).item() == pytest.approx(wanted, rel=1e-12)


def test_ndcg_loss2_by_hand():
    # ranks one apart lose D(1) − D(2), ranks two apart D(2) − D(3)
    wanted = (1 * (D1 - D2) * cost(1) + 6 * (D2 - D3) * cost(-2) + 7 * (D1 - D2) * cost(-1)) / IDEAL
    assert LambdaLoss("ndcg2")(SCORES, GRADES).item() == pytest.approx(wanted, rel=1e-12)


def test_ndcg_loss2_plus_plus_by_hand():
    mu = 10
    wanted = (
        1 * ((D1 - D2) + mu * (D1 - D2)) * cost(1)
        + 6 * ((D1 - D3) + mu * (D2 - D3)) * cost(-2)
        + 7 * ((D2 - D3) + mu * (D1 - D2)) * cost(-1)
    ) / IDEAL
    assert LambdaLoss()(SCORES, GRADES).item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_forms_bound_the_ndcg_that_is_lost(sigma, seed):
    """In bits (log2), 1 − nDCG ≤ NDCG-Loss2 ≤ NDCG-Loss1 (Wang et al. 2018, section 5), since I(s < 0) ≤ log2(1 + e^(−σs))."""
    scores, labels = one_list(seed, 6)
    gains, ranks = reference.gains_of(labels[0].tolist(), "exponential"), reference.ranks_of(scores[0].tolist())
    lost = 1 - reference.dcg(gains, ranks) / reference.ideal(gains)
    for form in ("ndcg1", "ndcg2"):
        assert LambdaLoss(form, sigma=sigma)(scores, labels).item() / math.log(2) >= lost


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"^LambdaLoss: form must be one of ndcg1, .*, got 'ndcg3'; did you mean"):
        LambdaLoss("ndcg3")
    for mu in (-1.0, math.inf, math.nan, "a", None, True):
        with pytest.raises(ConfigError, match=rf"^LambdaLoss: mu must be a finite number, not negative, got {mu!r}"):
            LambdaLoss(mu=mu)
    with pytest.raises(ConfigError, match=r"^LambdaLoss: sigma must be a finite number above 0"):
        LambdaLoss(sigma=0.0)
    with pytest.raises(ConfigError, match=r"^LambdaRank: sigma must be a finite number above 0"):
        LambdaRank(sigma=-1.0)
    with pytest.raises(ConfigError, match="cutoff must be a whole number of ranks"):
        LambdaRank(cutoff=0)
    with pytest.raises(ConfigError, match="gains must be"):
        LambdaLoss(gains="square")
    with pytest.raises(DataError, match=r"^LambdaLoss: grades must be whole numbers"):
        LambdaLoss()(torch.zeros(1, 2), torch.tensor([[0.5, 1.0]]))
    with pytest.raises(
        DataError, match=r"^LambdaRank: gains .* must not overflow float32 .* got 200 at list 0, document 1"
    ):
        LambdaRank()(torch.zeros(1, 2), torch.tensor([[0.0, 200.0]]))
