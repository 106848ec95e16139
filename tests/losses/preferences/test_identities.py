"""What alignment's losses are in ltr, against plain formulas, to 1e-9; and the laws of ties."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import logsigmoid, softplus

from ltr.errors import ConfigError, DataError
from ltr.links import Exp, Identity, Piecewise, ReverseExp, ReverseSoftplus, Sigmoid, Tanh
from ltr.losses import (
    DPO,
    EXO,
    IPO,
    KTO,
    ORPO,
    BradleyTerry,
    CompositeContrast,
    CompositeSoftmax,
    DifferenceMatching,
    Dual,
    GradeDifference,
    Matching,
    PairTargets,
    Positives,
    RankBoost,
    RankNet,
    RobustDPO,
    SimPO,
    SLiC,
    cDPO,
    fDPO,
)

#: differences of a chosen from a rejected score, far ones too
D = torch.cat([torch.linspace(-6, 6, 49, dtype=torch.float64), torch.tensor([-9.5, 12.0, 40.0], dtype=torch.float64)])
LEVEL = torch.linspace(-2, 3, len(D), dtype=torch.float64)


def of_pairs(loss, labels=(1.0, 0.0), difference=D, level=LEVEL):
    """[pairs] what pairs (level + difference, level) cost, whatever the order of the two."""
    scores = torch.stack([level + difference, level], 1)
    loss.reduction = "none"
    cost = loss(scores, torch.tensor(labels, dtype=torch.float64).expand_as(scores))
    swapped = loss(scores.flip(1), torch.tensor(labels, dtype=torch.float64).flip(0).expand_as(scores))
    torch.testing.assert_close(swapped, cost, rtol=0, atol=1e-9)
    return cost


def equal(found, expected):
    torch.testing.assert_close(found, expected.expand_as(found), rtol=1e-9, atol=1e-9)


def entropy(p):
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


@pytest.mark.parametrize(
    "loss",
    [BradleyTerry(), DPO(), RankNet(), CompositeContrast(Identity()), DifferenceMatching(Sigmoid(), Dual())],
    ids=repr,
)
def test_bradley_terry_and_dpo_are_the_logistic_loss(loss):
    equal(of_pairs(loss), softplus(-D.clamp(-20)))


@pytest.mark.parametrize("p", [0.55, 0.9, 0.999])
def test_a_soft_label_is_its_cross_entropy_less_its_entropy(p):
    expected = -p * logsigmoid(D) - (1 - p) * logsigmoid(-D) - entropy(p)
    equal(of_pairs(DifferenceMatching(Sigmoid(), PairTargets(probability=p))), expected)
    # as shares of votes, and as values of the link
    equal(of_pairs(BradleyTerry(PairTargets(probability="votes")), (p, 1 - p)), expected)
    equal(of_pairs(BradleyTerry(PairTargets(gap=1.0)), (math.log(p / (1 - p)), 0.0)), expected)


def test_centering_is_the_mean_square_of_the_sums_of_pairs():
    """As trainers of reward models have it for a chosen and a rejected response: (r_c + r_r)²."""
    expected = softplus(-D.clamp(-20)) + 0.25 * (2 * LEVEL + D) ** 2
    equal(of_pairs(BradleyTerry(centering=0.25)), expected)
    scores = torch.tensor([[2.0, -0.5, 1.0, 9.0]], dtype=torch.float64)
    labels, mask = torch.tensor([[2.0, 1.0, 0.0, 5.0]]), torch.tensor([[True, True, True, False]])
    plain, centred = (BradleyTerry(centering=c)(scores, labels, mask).item() for c in (0.0, 1.0))
    assert centred - plain == pytest.approx((1.5**2 + 3.0**2 + 0.5**2) / 3, rel=1e-12)
    assert repr(BradleyTerry(centering=0.0)) == repr(BradleyTerry())
    with pytest.raises(ConfigError, match="BradleyTerry: centering must be a finite number above 0, got -1"):
        BradleyTerry(centering=-1)


def test_centering_settles_the_level_that_differences_leave_open():
    rewards = torch.tensor([[5.0, 4.0], [-3.0, -2.0]], requires_grad=True)
    for centering, settles in ((0.0, False), (0.1, True)):
        with torch.no_grad():
            rewards.copy_(torch.tensor([[5.0, 4.0], [-3.0, -2.0]]))
        optimizer = torch.optim.SGD([rewards], lr=0.5)
        for _ in range(60):
            optimizer.zero_grad()
            BradleyTerry(centering=centering)(rewards, torch.tensor([[1.0, 0.0], [1.0, 0.0]])).backward()
            optimizer.step()
        assert (rewards.detach().mean(1).abs().max().item() < 0.01) is settles
        assert (rewards[:, 0] > rewards[:, 1]).all()


def test_conservative_dpo_less_its_entropy():
    expected = -0.8 * logsigmoid(D) - 0.2 * logsigmoid(-D) - entropy(0.2)
    equal(of_pairs(cDPO(0.2)), expected)
    equal(of_pairs(cDPO(0.0)), softplus(-D.clamp(-20)))


def test_a_margin_is_the_centre():
    equal(of_pairs(SimPO(gamma=1.5)), softplus(1.5 - D.clamp(-18)))
    equal(of_pairs(SimPO(gamma=0)), softplus(-D.clamp(-20)))


def test_ipo_is_a_square_around_its_gap_and_graded_labels_have_graded_gaps():
    equal(of_pairs(IPO(tau=0.25)), (D - 2) ** 2)
    equal(of_pairs(IPO(tau=0.25), (5.0, 3.5)), (D - 3) ** 2)


def test_slic_is_the_hinge_and_the_limit_of_narrow_sigmoids():
    equal(of_pairs(SLiC(1.0)), (1 - D).clamp(min=0))
    narrow = of_pairs(DifferenceMatching(Sigmoid(center=1.0, width=1e-10), PairTargets(probability=1.0)))
    equal(narrow, (1 - D).clamp(min=0))


def test_the_exponential_loss_is_rank_boost():
    near = D[(D > -9) & (D < 30)]
    level = torch.zeros_like(near)
    expected = (-near).exp()
    equal(of_pairs(RankBoost(), difference=near, level=level), expected)
    # dual labels (0, -1): the end of the link's range, and h(0)
    dual = DifferenceMatching(ReverseExp(), Dual())
    equal(of_pairs(dual, (0.0, -1.0), difference=near, level=level), expected)


def test_truncated_square_is_a_piecewise_link():
    loss = DifferenceMatching(Piecewise((1.0,), (1.0, 0.0)), PairTargets(probability=1.0))
    equal(of_pairs(loss), (1 - D).clamp(min=0) ** 2 / 2)


BETA = 0.5
#: log-ratios u of chosen and rejected
RATIOS = (LEVEL + D.clamp(-3, 3), LEVEL)


@pytest.mark.parametrize(
    ("loss", "slope_of_f"),
    [
        (fDPO("reverse_kl", BETA), lambda u: u + 1),
        (fDPO("forward_kl", BETA), lambda u: -torch.exp(-u)),
        (fDPO("alpha", BETA, alpha=0.25), lambda u: (1 - torch.exp(-0.75 * u)) / 0.75),
        (fDPO("alpha", BETA, alpha=0.0), lambda u: -torch.exp(-u)),
        (fDPO("js", BETA), lambda u: torch.log(2 * u.exp() / (1 + u.exp()))),
    ],
    ids=lambda one: repr(one) if isinstance(one, torch.nn.Module) else "slope",
)
def test_f_dpo_is_a_contrast_of_transformed_ratios(loss, slope_of_f):
    chosen, rejected = RATIOS
    expected = softplus(-BETA * (slope_of_f(chosen) - slope_of_f(rejected)))
    equal(of_pairs(loss, difference=BETA * (chosen - rejected), level=BETA * rejected), expected)


def test_reversed_softplus_is_softplus_mirrored():
    z = torch.linspace(-30, 30, 61, dtype=torch.float64)
    equal(ReverseSoftplus()(z), logsigmoid(z))
    assert ReverseSoftplus().range == (-math.inf, 0.0)
    assert not ReverseSoftplus().convex


def test_bco_is_twice_a_dual_matching_loss():
    scores = torch.stack([D, -D / 2], 1)
    expected = -logsigmoid(scores[:, 0]) - logsigmoid(-scores[:, 1])
    labels = torch.tensor([1.0, 0.0], dtype=torch.float64).expand_as(scores)
    equal(2 * Matching(Sigmoid(), Dual(), reduction="none")(scores, labels), expected)


def test_a_list_of_two_is_a_pair_of_plackett_and_luce():
    equal(of_pairs(CompositeSoftmax(Identity(), targets=Positives())), softplus(-D.clamp(-20)))


def test_losses_that_are_no_matching_losses():
    p = torch.sigmoid(D)
    eps = 0.1
    robust = ((1 - eps) * softplus(-D) - eps * softplus(D)) / (1 - 2 * eps)
    equal(of_pairs(RobustDPO(eps)), robust)
    inside = D.abs() < 30
    exo = p * (p / (1 - eps)).log() + (1 - p) * (torch.sigmoid(-D) / eps).log()
    torch.testing.assert_close(of_pairs(EXO(eps))[inside], exo[inside], rtol=1e-9, atol=1e-9)
    scores = torch.stack([LEVEL + D, LEVEL], 1)
    labels = torch.tensor([1.0, 0.0], dtype=torch.float64).expand_as(scores)
    kto = (2.0 * (1 - torch.sigmoid(scores[:, 0] - 0.5)) + 3.0 * (1 - torch.sigmoid(0.5 - scores[:, 1]))) / 2
    equal(KTO(2.0, 3.0, 0.5, reduction="none")(scores, labels), kto)
    logs = -scores.abs() - 0.01
    odds = logs - torch.log1p(-logs.exp())
    orpo = -logs[:, 0] + 0.3 * softplus(odds[:, 1] - odds[:, 0])
    equal(ORPO(0.3, reduction="none")(logs, labels), orpo)


def test_kto_weighs_a_completion_most_at_its_reference_point():
    # scores are beta log-ratios, so that the paper's z0, a divergence, is z / beta
    beta, z0 = 0.5, 0.8
    ratios = torch.linspace(-8, 8, 33, dtype=torch.float64)
    scores = (beta * ratios)[:, None].requires_grad_()
    loss = KTO(2.0, 3.0, reference=beta * z0, reduction="sum")
    for label, weight, sign in ((1.0, 2.0, 1), (0.0, 3.0, -1)):
        value = weight * torch.sigmoid(sign * beta * (ratios - z0))
        cost = loss(scores, torch.full_like(scores, label))
        torch.testing.assert_close(cost, (weight - value).sum(), rtol=1e-12, atol=0)
        (gradient,) = torch.autograd.grad(cost, scores)
        rise = torch.sigmoid(beta * (ratios - z0)) * torch.sigmoid(-beta * (ratios - z0))
        torch.testing.assert_close(gradient[:, 0], -sign * weight * rise, rtol=1e-12, atol=1e-15)
        assert gradient[:, 0].abs().argmax() == (ratios - z0).abs().argmin()


def test_robust_dpo_is_unbounded_below_and_conservative_dpo_is_not():
    far = {"difference": torch.tensor([1000.0], dtype=torch.float64), "level": torch.zeros(1, dtype=torch.float64)}
    assert of_pairs(RobustDPO(0.1), **far).item() == pytest.approx(-125, rel=1e-12)
    assert RobustDPO(0.1).laws.lower_bound == -math.inf
    assert of_pairs(cDPO(0.1), **far).item() > 0


# ties

TIED = [
    BradleyTerry(),
    BradleyTerry(PairTargets(gap=0.5)),
    BradleyTerry(PairTargets(probability="votes")),
    cDPO(0.1),
    IPO(0.5),
    SimPO(1.0),
    RankBoost(),
    DifferenceMatching(Exp(), PairTargets(gap=1.0)),
]


@pytest.mark.parametrize("loss", TIED, ids=repr)
def test_a_tie_has_zero_gradient_only_at_equality(loss):
    loss.reduction = "none"
    scores = torch.stack([D, torch.zeros_like(D)], 1).requires_grad_()
    labels = torch.full_like(scores, 0.5)
    assert loss.contributes(labels).all()
    cost = loss(scores, labels)
    (gradient,) = torch.autograd.grad(cost.sum(), scores)
    at = D == 0
    assert cost[at].item() == gradient[at].abs().max().item() == 0
    assert (cost[~at] > 0).all()
    assert (gradient[:, 0].sign() == D.sign()).all()
    # which of the two comes first is nothing
    torch.testing.assert_close(loss(scores.flip(1), labels), cost)


@pytest.mark.parametrize("loss", TIED, ids=repr)
def test_a_tie_pulls_both_scores_together_alike(loss):
    loss.reduction = "none"
    scores = torch.stack([LEVEL + D.clamp(-6, 6), LEVEL], 1).requires_grad_()
    labels = torch.full_like(scores, 0.5)
    (gradient,) = torch.autograd.grad(loss(scores, labels).sum(), scores)
    assert (gradient.diff() != 0).sum() == (scores.diff() != 0).sum()
    torch.testing.assert_close(gradient[:, 0], -gradient[:, 1], rtol=1e-12, atol=1e-12)
    # whichever is ahead, and by how much, not which stands first
    mirrored = scores.detach().flip(1).requires_grad_()
    (swapped,) = torch.autograd.grad(loss(mirrored, labels).sum(), mirrored)
    torch.testing.assert_close(swapped.flip(1), gradient, rtol=1e-9, atol=1e-12)


def test_a_tie_costs_the_divergence_from_zero():
    d = 5.0
    tie = torch.tensor([[d, 0.0]], dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    expected = math.log1p(math.exp(d)) - math.log(2) - d / 2
    assert BradleyTerry()(*tie).item() == pytest.approx(expected, rel=1e-12)
    assert round(expected, 2) == 1.81
    # a link that is not odd is taken both ways: (D_h(d, 0) + D_h(-d, 0)) / 2 = cosh d - 1
    assert DifferenceMatching(Exp(), PairTargets(gap=1.0))(*tie).item() == pytest.approx(math.cosh(d) - 1, rel=1e-12)


def test_a_mean_counts_tied_pairs():
    scores = torch.tensor([[2.0, 0.5, -1.0]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    decided = math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-3))
    tied = math.log1p(math.exp(1.5)) - math.log(2) - 0.75
    assert BradleyTerry()(scores, labels).item() == pytest.approx((decided + tied) / 3, rel=1e-12)


def test_policy_equal_to_reference_costs_log_2():
    cost = DPO()(torch.zeros(4, 2), torch.tensor([[1.0, 0.0]]).expand(4, 2))
    assert abs(cost.item() - math.log(2)) < 1e-6


@pytest.mark.parametrize("loss", [*TIED, fDPO("forward_kl"), fDPO("js"), EXO(), ORPO(), RobustDPO()], ids=repr)
def test_finite_at_log_ratios_of_1e4(loss):
    for labels in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0]):
        scores = torch.tensor([[1e4, -1e4]], requires_grad=True)
        cost = loss(scores, torch.tensor([labels])).sum()
        cost.backward()
        assert cost.isfinite()
        assert scores.grad.isfinite().all()


# what is refused


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PairTargets(), "PairTargets: needs either gap or probability, got gap=None and probability=None"),
        (lambda: PairTargets(gap=1.0, probability=0.9), "PairTargets: needs either gap or probability"),
        (lambda: PairTargets(gap=0.0), "PairTargets: gap must be a finite number above 0, got 0.0"),
        (lambda: PairTargets(probability=0.5), "PairTargets: probability must lie above 0.5 and up to 1"),
        (lambda: PairTargets(probability="vote"), "or be 'votes', got 'vote'"),
        (lambda: DifferenceMatching(Identity(), PairTargets(probability=1.0)), "asks for infinite differences"),
        (
            lambda: DifferenceMatching(ReverseExp(), PairTargets(probability=0.9)),
            "needs a link that is bounded on both",
        ),
        (
            lambda: DifferenceMatching(Tanh(), PairTargets(gap=1.0), GradeDifference()),
            "pair_weights must be Uniform.., got GradeDifference",
        ),
        (lambda: Matching(Sigmoid(), PairTargets(gap=1.0)), "Matching: targets must be readable as target scores"),
        (lambda: cDPO(0.5), "cDPO: eps must be at least 0 and below 0.5, got 0.5"),
        (lambda: RobustDPO(-0.1), "RobustDPO: eps must be at least 0"),
        (lambda: EXO(0.0), "EXO: eps must be above 0"),
        (lambda: IPO(0.0), "IPO: tau must be a finite number above 0"),
        (lambda: SimPO(-1.0), "SimPO: gamma must be a finite number above 0"),
        (lambda: fDPO("kl"), "fDPO: divergence must be one of reverse_kl, forward_kl, js, alpha, got 'kl'"),
        (lambda: fDPO("alpha", alpha=1.0), "fDPO: alpha must be at least 0 and below 1, got 1.0"),
        (lambda: KTO(reference=math.nan), "KTO: reference must be a finite number, got nan"),
    ],
)
def test_refuses_settings_that_cannot_be(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_refuses_votes_that_are_no_shares():
    with pytest.raises(DataError, match=r"labels must be shares of votes in \[0, 1\].*got 2 at list 0, document 0"):
        BradleyTerry(PairTargets(probability="votes"))(torch.zeros(1, 2), torch.tensor([[2.0, 1.0]]))


@pytest.mark.parametrize(
    "text", ["fDPO('js', beta=0.1)", "cDPO(0.2)", "BradleyTerry(PairTargets(gap=0.5))", "IPO(tau=0.2)"]
)
def test_names_stand_in_the_language_of_expressions(text):
    from ltr.expressions import is_expression, text_of, value_of

    assert is_expression(text)
    assert repr(value_of(text_of(value_of(text)))) == repr(value_of(text))
