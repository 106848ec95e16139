"""The laws of alignment, and the corners that others got wrong: where each is tested.

Identities of losses, to 1e-9 (losses/preferences/test_identities.py)
  Bradley–Terry = contrast of the identity = sigmoid matching = RankNet   test_bradley_terry_and_dpo_are_the_logistic_loss
  a margin is the sigmoid's centre (SimPO)                                test_a_margin_is_the_centre
  a soft label's cross-entropy less its entropy                           test_a_soft_label_is_its_cross_entropy_less_its_entropy
  conservative DPO                                                        test_conservative_dpo_less_its_entropy
  BCO is twice a dual matching loss                                       test_bco_is_twice_a_dual_matching_loss
  IPO, at graded gaps too                                                 test_ipo_is_a_square_around_its_gap_and_graded_labels_have_graded_gaps
  SLiC is the limit of narrow sigmoids                                    test_slic_is_the_hinge_and_the_limit_of_narrow_sigmoids
  the exponential loss                                                    test_the_exponential_loss_is_rank_boost
  the truncated square                                                    test_truncated_square_is_a_piecewise_link
  f-DPO: reverse and forward KL, α, Jensen–Shannon                        test_f_dpo_is_a_contrast_of_transformed_ratios
  a list of two is a pair (Plackett–Luce)                                 test_a_list_of_two_is_a_pair_of_plackett_and_luce
  what no matching loss is, and which is unbounded below                  test_losses_that_are_no_matching_losses
                                                                          test_robust_dpo_is_unbounded_below_and_conservative_dpo_is_not
  a tie costs D(d, 0), and has no gradient at equality alone              test_a_tie_costs_the_divergence_from_zero
                                                                          test_a_tie_has_zero_gradient_only_at_equality
  finite at log-ratios of 1e4                                             test_finite_at_log_ratios_of_1e4
  any convex loss of z is a matching loss with dual target 0              test_every_convex_loss_of_a_difference_is_a_matching_loss
  weights of pairs at z = −4, 0, 2, 4                                     test_weights_of_pairs_by_their_difference
  a common shift changes nothing for affine f alone                       test_a_common_shift_changes_nothing_for_affine_transforms_alone
Laws of scores (scorers/causal)
  policy = reference costs log 2                                          test_training_starts_at_log_2
  … under autocast too                                                    test_under_autocast_training_starts_at_log_2_too
  packed = padded = in pieces, gradients too                              test_packed_is_padded_and_neither_pieces_nor_shared_prefixes_matter
  computed again (dropout on) = kept                                      test_checkpointing_changes_no_gradient
                                                                          test_what_is_computed_again_draws_the_same_dropout
  cached = online, by weights and not by name                             test_references_are_kept_by_weights_and_rows
                                                                          test_the_same_tokens_parted_otherwise_are_another_row
  no gradient flows into the reference                                    test_the_reference_has_no_gradient
  padding side, mark and batch size change no score                       test_neither_padding_side_nor_mark_nor_batch_size_change_a_score
  RankNet on a policy's scores is DPO                                     test_ranknet_on_a_policys_scores_is_dpo
Corners
  IPO by sum or mean                                                      test_ipo_by_sum_and_by_mean_are_two_losses
  label smoothing that is ignored                                         test_no_name_takes_a_smoothing_that_it_ignores
  log(1 + exp) infinite at −100, exp of the forward KL                    test_far_on_the_wrong_side_costs_are_those_of_the_formula
  margins broadcast to [pairs, pairs]                                     test_each_pair_has_its_own_margin
  long pairs dropped                                                      test_long_pairs_are_cut_and_none_is_dropped
  the end of a completion cut away                                        test_what_is_too_long_loses_the_beginning_of_its_prompt_and_keeps_its_response
  a chat template applied twice                                           test_the_chat_template_is_applied_exactly_once
                                                                          test_a_rendered_prompt_is_refused_where_the_template_would_be_applied_again
  padding mark = end mark: the end is never read                          test_rewards_read_the_last_token_by_length_not_by_padding
  the end mark not counted, or the prompt's tokens counted                test_a_mean_counts_the_completions_tokens_and_its_end_mark
  accuracy that moves with the batch                                      test_accuracy_does_not_move_with_the_batch
  sums in half precision, or that lose digits                             test_sums_are_single_precision_whatever_the_weights_are
                                                                          test_a_long_completions_sum_loses_no_digits
  length explains preferences                                             test_the_longest_stands_beside_whatever_is_measured
"""

from __future__ import annotations

import inspect
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ltr import losses
from ltr.batch import TokenRows
from ltr.data import PreferenceData
from ltr.links import Exp, Identity, Piecewise, Softplus, Tanh
from ltr.losses import (
    DPO,
    IPO,
    BradleyTerry,
    CompositeContrast,
    CompositeSoftmax,
    DifferenceMatching,
    PairTargets,
    Positives,
    RankBoost,
    RankNet,
    SimPO,
    SLiC,
    cDPO,
    fDPO,
)
from ltr.metrics.measures.preferences import pair_accuracy
from ltr.scorers import CausalScorer, PolicyRatio
from ltr.scorers.causal.log_probs import token_log_probs
from ltr.scorers.causal.policy_ratio import completion_log_probs
from ltr.scorers.causal.references import row_keys
from ltr.scorers.causal.vocabulary import Vocabulary
from tests.data.preferences.chat import chat_tokenizer

TESTS = Path(__file__).parents[2]
PAIRS = [
    ("how to join two paths", "split the string", "no"),
    ("is", "yes", "the file is a file of paths"),
    ("what is the file", "a string", "what"),
]


@pytest.fixture
def file(tmp_path):
    records = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in PAIRS]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, records)))
    return str(tmp_path / "pairs.jsonl")


def batches(file, model, part="dev", **settings):
    return list(PreferenceData(**{part: file}, tokenizer=str(model), **settings).val_dataloader())


def test_every_test_of_the_table_is_there():
    named = re.findall(r"\btest_\w+(?<!_py)\b(?!\.py)", __doc__.split("\n", 2)[2])
    assert len(named) > 35
    folders = ("losses/preferences", "scorers/causal", "data/preferences", "metrics/measures")
    texts = [path.read_text() for folder in folders for path in (TESTS / folder).glob("test_*.py")]
    known = {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert [name for name in named if name not in known] == []


# ------------------------------------------------------------------ losses


def pair_gradient(loss, difference, level=0.0):
    """What a pair weighs: minus the derivative of its cost by the better score."""
    scores = torch.tensor([[level + difference, level]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(scores, torch.tensor([[1.0, 0.0]], dtype=torch.float64)), scores)
    return -gradient[0, 0].item()


@pytest.mark.parametrize(
    ("loss", "weight"),
    [
        (DPO(), lambda z: 1 / (1 + math.exp(z))),
        (SimPO(gamma=2.0), lambda z: 1 / (1 + math.exp(z - 2))),
        (SLiC(), lambda z: float(z < 1)),
        (IPO(tau=0.25), lambda z: 2 * (2 - z)),
        (RankBoost(), lambda z: math.exp(-z)),
        (DifferenceMatching(Piecewise((1.0,), (1.0, 0.0)), PairTargets(probability=1.0)), lambda z: max(0.0, 1 - z)),
        (CompositeSoftmax(Identity(), targets=Positives()), lambda z: 1 / (1 + math.exp(z))),
    ],
    ids=lambda one: repr(one) if isinstance(one, torch.nn.Module) else "weight",
)
def test_weights_of_pairs_by_their_difference(loss, weight):
    for z in (-4.0, 0.0, 2.0, 4.0):
        assert pair_gradient(loss, z) == pytest.approx(weight(z), abs=1e-9)


def test_weights_by_the_level_of_the_ratio():
    """What f-divergences and composite losses add: a pair of the same difference weighs otherwise at another level."""
    assert pair_gradient(fDPO("forward_kl"), 1.0, -1.0) > 5 * pair_gradient(fDPO("forward_kl"), 1.0, 2.0)
    assert pair_gradient(DPO(), 1.0, -1.0) == pytest.approx(pair_gradient(DPO(), 1.0, 2.0), rel=1e-12)


def test_every_convex_loss_of_a_difference_is_a_matching_loss():
    """log cosh (z − 1) is the matching loss of tanh with dual target 0, that is around its minimum."""
    d = torch.linspace(-5, 5, 21, dtype=torch.float64)
    scores = torch.stack([d, torch.zeros_like(d)], 1)
    labels = torch.zeros_like(scores)
    labels[:, 0] = 1
    matching = DifferenceMatching(Tanh(center=1.0), PairTargets(gap=1.0), reduction="none")
    torch.testing.assert_close(matching(scores, labels), torch.log(torch.cosh(d - 1)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("loss", "unchanged"),
    [
        (CompositeContrast(Identity()), True),
        (CompositeContrast(Identity(scale=2.0)), True),
        (CompositeSoftmax(Identity(), targets=Positives()), True),
        (DPO(), True),
        (CompositeContrast(Exp()), False),
        (CompositeContrast(Identity() + Softplus()), False),
        (CompositeSoftmax(Identity() + Softplus(), targets=Positives()), False),
        (fDPO("forward_kl"), False),
        (fDPO("js"), False),
    ],
    ids=repr,
)
def test_a_common_shift_changes_nothing_for_affine_transforms_alone(loss, unchanged):
    scores = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    costs = [loss(scores + shift, labels).item() for shift in (-2.0, 0.0, 2.0)]
    assert (max(costs) - min(costs) < 1e-9) == unchanged
    assert unchanged or max(costs) - min(costs) > 0.01


def test_a_convex_transform_drifts():
    """What makes reward models of a convex transform alone drift upwards: the same order costs less there."""
    contrast = CompositeContrast(Exp())
    right, wrong = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    costs = [contrast(right + shift, right).item() for shift in (-2.0, 0.0, 2.0)]
    assert costs == pytest.approx([0.58, 0.16, 0.0], abs=0.01)
    assert contrast(wrong + 4, right).item() == pytest.approx(93.8, abs=0.1)


def test_no_name_takes_a_smoothing_that_it_ignores():
    scores, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    named = losses.FAMILIES["preferences"]
    smoothed = [name for name in named if "eps" in inspect.signature(getattr(losses, name)).parameters]
    assert {"cDPO", "EXO", "RobustDPO"} <= set(smoothed)
    for name in smoothed:
        made = getattr(losses, name)
        assert made(eps=0.1)(scores, labels) != made(eps=0.3)(scores, labels), name
    with pytest.raises(TypeError, match="eps"):
        DPO(eps=0.1)
    assert cDPO(0.2)(scores, labels) != DPO()(scores, labels)


def test_far_on_the_wrong_side_costs_are_those_of_the_formula():
    for dtype in (torch.float32, torch.bfloat16):
        scores = torch.tensor([[0.0, 100.0]], dtype=dtype, requires_grad=True)
        cost = DPO()(scores, torch.tensor([[1.0, 0.0]]))
        assert cost.item() == 100
        cost.backward()
        assert scores.grad.tolist() == [[-1, 1]]
    # exp(−u) of the forward KL at u = −1000: it goes on as a straight line, and is no infinity less another
    far = torch.tensor([[-1000.0, -900.0]], requires_grad=True)
    cost = fDPO("forward_kl")(far, torch.tensor([[1.0, 0.0]]))
    cost.backward()
    assert cost.isfinite()
    assert far.grad.isfinite().all()
    assert far.grad[0, 0] < 0 < far.grad[0, 1]


@pytest.mark.parametrize("loss", [BradleyTerry(PairTargets(gap=0.5)), IPO(tau=0.5)], ids=repr)
def test_each_pair_has_its_own_margin(loss):
    scores = torch.tensor([[1.0, 0.0], [0.5, 2.0], [3.0, 1.0]], dtype=torch.float64)
    labels = torch.tensor([[0.5, 0.0], [2.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    alone = torch.stack([loss(s[None], y[None]) for s, y in zip(scores, labels, strict=True)])
    loss.reduction = "none"
    torch.testing.assert_close(loss(scores, labels), alone, rtol=0, atol=1e-12)
    loss.reduction = "mean"
    torch.testing.assert_close(loss(scores, labels), alone.mean(), rtol=0, atol=1e-12)


# ------------------------------------------------------------------ scores


def test_a_mean_counts_the_completions_tokens_and_its_end_mark(tiny_causal, file):
    from transformers import AutoModelForCausalLM

    tokenizer, network = chat_tokenizer(), AutoModelForCausalLM.from_pretrained(tiny_causal)
    (batch,) = batches(file, tiny_causal, form="plain")
    scorers = {
        length: PolicyRatio(str(tiny_causal), None, beta=1.0, length=length).eval() for length in ("sum", "mean")
    }
    with torch.no_grad():
        found = {length: scorer(batch)[batch.mask] for length, scorer in scorers.items()}
        order = [PAIRS[int(name.removeprefix("prompt")) - 1] for name in batch.query_ids]  # batches go by length
        for row, (prompt, response) in enumerate((p, r) for p, *both in order for r in both):
            before = [tokenizer.bos_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
            own = [*tokenizer(response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            logs = network(torch.tensor([before + own])).logits[0].double().log_softmax(-1)
            each = [logs[len(before) + i - 1, token].item() for i, token in enumerate(own)]
            assert found["sum"][row].item() == pytest.approx(sum(each), abs=1e-4)
            assert found["mean"][row].item() == pytest.approx(sum(each) / len(own), abs=1e-5)


def test_ipo_by_sum_and_by_mean_are_two_losses(tiny_causal, file):
    (batch,) = batches(file, tiny_causal)
    labels = batch.pad(batch.labels)
    costs = []
    for length in ("sum", "mean"):
        scorer = PolicyRatio(str(tiny_causal), None, beta=1.0, length=length).eval()
        with torch.no_grad():
            scores = scorer(batch)
            costs.append(IPO(tau=0.25)(scores, labels, batch.mask).item())
        expected = ((scores[:, 0] - scores[:, 1] - 2) ** 2).mean().item()
        assert costs[-1] == pytest.approx(expected, rel=1e-5)
    assert abs(costs[0] - costs[1]) > 1


def test_ranknet_on_a_policys_scores_is_dpo(tiny_causal, file):
    (batch,) = batches(file, tiny_causal)
    labels = batch.pad(batch.labels)
    gradients = []
    for loss in (DPO(), RankNet()):
        scorer = PolicyRatio(str(tiny_causal), None, beta=0.3)
        cost = loss(scorer(batch), labels, batch.mask)
        cost.backward()
        gradients.append((cost.detach(), torch.cat([p.grad.flatten() for p in scorer.parameters()])))
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_beta_scales_scores_and_gradients(tiny_causal, file, beta):
    (batch,) = batches(file, tiny_causal)
    plain, scaled = (PolicyRatio(str(tiny_causal), None, beta=b) for b in (1.0, beta))
    found = []
    for scorer in (plain, scaled):
        scores = scorer(batch)
        scores.sum().backward()
        found.append((scores.detach(), torch.cat([p.grad.flatten() for p in scorer.parameters()])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(beta * one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lora", [None, 2])
def test_the_reference_has_no_gradient(tiny_causal, file, lora):
    """At the start π / π_ref is 1 whatever the weights are, and yet its gradient is that of log π alone."""
    if lora:
        pytest.importorskip("peft")
    (batch,) = batches(file, tiny_causal)
    gradients = []
    for reference in ("start", None):
        torch.manual_seed(0)  # adapters begin alike
        scorer = PolicyRatio(str(tiny_causal), reference, beta=1.0, lora=lora)
        scorer(batch)[:, 0].sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in scorer.parameters() if p.requires_grad]))
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


def test_the_reference_is_taken_away(tiny_causal, tmp_path, file):
    """log π − log π_ref, not the other way round: completions that became likelier have larger scores, and a positive KL."""
    (batch,) = batches(file, tiny_causal)
    scorer = PolicyRatio(str(tiny_causal), beta=1.0)
    optimizer = torch.optim.SGD(scorer.parameters(), lr=1e-3)
    (-PolicyRatio.scored(scorer, batch, batch.tokens).sum()).backward()
    scorer(batch)  # the reference is that of the start
    optimizer.step()
    with torch.no_grad():
        scores = scorer(batch)
        assert scores.sum() > 1
        kl = float(scorer.observed(batch, scores)["kl"])
    assert kl == pytest.approx(scores[batch.mask].mean().item(), rel=1e-6)


@pytest.mark.parametrize("kind", ["policy", "reward", "asked"])
def test_neither_padding_side_nor_mark_nor_batch_size_change_a_score(tiny_causal, tmp_path, file, kind):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    def made(model):
        if kind == "policy":
            return PolicyRatio(str(model), None).eval()
        if kind == "asked":
            return CausalScorer(str(model), "Q: {query} D: {document} ?", yes="yes", no="no").eval()
        return CausalScorer(str(model), prompt=None).eval()

    source = tiny_causal
    if kind == "reward":  # with a head that is no new one in each
        source = tmp_path / "reward"
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_pretrained(tiny_causal, num_labels=1).save_pretrained(source)
        AutoTokenizer.from_pretrained(tiny_causal).save_pretrained(source)
    (batch,) = batches(file, source, form="plain")
    with torch.no_grad():
        expected = made(source)(batch)
        for side, mark in (("left", "<|im_end|>"), ("right", "no"), ("right", None)):
            tokenizer = AutoTokenizer.from_pretrained(source)
            tokenizer.padding_side, tokenizer.pad_token = side, mark
            scorer = made(source)
            scorer.__dict__["tokenizer"] = tokenizer
            scorer.network.config.pad_token_id = tokenizer.pad_token_id
            for packs in (True, False):
                scorer.packs = packs
                torch.testing.assert_close(scorer(batch), expected, rtol=1e-5, atol=1e-5)
                alone = [scorer(one) for one in batches(file, source, form="plain", eval_tokens_per_batch=1)]
                torch.testing.assert_close(torch.cat(alone), expected, rtol=1e-5, atol=1e-5)


def test_accuracy_does_not_move_with_the_batch(tiny_causal, file):
    scorer = PolicyRatio(str(tiny_causal), None).eval()
    found = []
    for tokens in (1, 60, 10_000):
        with torch.no_grad():
            lists = {
                name: scores
                for batch in batches(file, tiny_causal, eval_tokens_per_batch=tokens)
                for name, scores in zip(batch.query_ids, scorer(batch).tolist(), strict=True)
            }
        predictions = np.array([score for name in sorted(lists) for score in lists[name]])
        found.append(pair_accuracy(predictions, np.tile([1.0, 0.0], 3), np.array([0, 2, 4, 6])).tolist())
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 2  # some right, some wrong


def test_long_pairs_are_cut_and_none_is_dropped(tiny_causal, file):
    whole, cut = (batches(file, tiny_causal, form="plain", max_length=n)[0] for n in (60, 10))
    assert whole.query_ids == cut.query_ids
    assert cut.n_docs == whole.n_docs == 6
    assert int(cut.lengths.max()) == 10


def test_sums_are_single_precision_whatever_the_weights_are(tiny_causal, file):
    (batch,) = batches(file, tiny_causal)
    scorer = PolicyRatio(str(tiny_causal), None, beta=1.0).eval()
    with torch.no_grad():
        exact = scorer(batch)
        half = scorer.to(torch.bfloat16)(batch)
    assert half.dtype == exact.dtype == torch.float32
    # no sum of log-probabilities is rounded to a multiple of what bfloat16 can hold there
    assert (half != half.to(torch.bfloat16)).any()
    torch.testing.assert_close(half, exact, rtol=0.1, atol=1.0)


def test_a_long_completions_sum_loses_no_digits():
    """Steps of 1e-3 in float32, where a sum lies in the ten thousands."""
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=False)
    network = SimpleNamespace(get_output_embeddings=lambda: head)
    n = 4000
    tokens = TokenRows(torch.randint(50, (n,)), torch.ones(n, dtype=torch.int64), torch.tensor([0, n]))
    states = 5 * torch.randn(n, 8)
    with torch.no_grad():
        found = completion_log_probs(network, Vocabulary(), tokens, torch.tensor([0]), states, torch.arange(n))
        each = token_log_probs(states[:-1], head.weight, tokens.ids[1:])
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(math.fsum(each.tolist()), rel=1e-13)
    assert found.item() < -10_000


def test_the_same_tokens_parted_otherwise_are_another_row():
    ids, offsets = torch.tensor([5, 6, 7]), torch.tensor([0, 3])
    (one,), (other,) = (row_keys(TokenRows(ids, torch.tensor(m), offsets)) for m in ([0, 1, 1], [0, 0, 1]))
    assert one != other


def test_what_is_computed_again_draws_the_same_dropout(tiny_causal, file):
    pytest.importorskip("peft")
    (batch,) = batches(file, tiny_causal)
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        scorer = PolicyRatio(
            str(tiny_causal), None, lora=4, lora_dropout=0.5, checkpointing=checkpointing, batch_tokens=60
        ).train()
        for name, parameter in scorer.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter, std=0.3)
        torch.manual_seed(1)
        scores = scorer(batch)
        scores.sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in scorer.parameters() if p.requires_grad])
        found.append((scores.detach(), gradient))
    torch.testing.assert_close(*found)
    with torch.no_grad():
        assert (scorer.eval()(batch) - found[0][0]).abs().max() > 1e-3  # there was dropout


def test_a_batch_brings_references_of_its_own_rows(tiny_causal, file):
    """A prior belongs to its row, also where rows are named twice."""
    (batch,) = batches(file, tiny_causal)
    scorer = PolicyRatio(str(tiny_causal), beta=1.0).eval()
    with torch.no_grad():
        references = scorer.reference_log_probs(batch)
        found = scorer(replace(batch, prior=references))
    assert found[batch.mask].abs().max() == 0
