"""The last layer, computed for first tokens only, gives what transformers' whole layer gives, in every mode of training."""

import copy

import pytest
import torch

from ltr.scorers.text import loading
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.packing import needs_packing
from tests.scorers.text.test_cross_encoder import one_by_one, random_batch
from tests.tiny_model import save_tiny

pytestmark = needs_packing

KINDS = ("bert", "electra", "distilbert", "roberta", "xlm-roberta", "camembert")


@pytest.fixture(params=KINDS)
def scorer(request, tmp_path) -> CrossEncoder:
    torch.manual_seed(3)
    folder = str(save_tiny(tmp_path / request.param, request.param))
    return CrossEncoder(folder, dropout=0.0, head_dropout=0.0, batch_tokens=150)


def gradients(scorer: CrossEncoder, scores: torch.Tensor) -> dict[str, torch.Tensor]:
    scorer.zero_grad()
    slope = torch.randn(scores.shape, generator=torch.Generator().manual_seed(1))
    (scores * slope).sum().backward()
    return {name: p.grad.clone() for name, p in scorer.named_parameters() if p.grad is not None}


def assert_same_gradients(got, wanted, tolerance=1e-5):
    for name, gradient in wanted.items():
        # a key's bias moves no attention weight: its gradient is noise around 0, and absent where it was not needed
        mine = got.get(name, torch.zeros_like(gradient))
        scale = float(gradient.abs().max().clamp(min=1))
        torch.testing.assert_close(mine, gradient, rtol=tolerance, atol=tolerance * scale)
    assert set(got) <= set(wanted)


def test_scores_and_gradients_are_those_of_the_padded_path(scorer):
    assert scorer._packs
    batch = random_batch([5, 4, 7], longest=40)
    scores = scorer.train()(batch)
    expected = one_by_one(scorer.model, batch, segments=scorer._takes_segments)
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    got, wanted = gradients(scorer, scores), gradients(scorer, expected)
    assert_same_gradients(got, wanted)
    scorer._packs = False
    assert_same_gradients(got, gradients(scorer, scorer(batch)))


def test_bf16_autocast_stays_close_to_float32(scorer):
    batch = random_batch([5, 4, 7], longest=40)
    wanted = gradients(scorer, scorer(batch))
    with torch.autocast("cpu", torch.bfloat16):
        scores = scorer(batch)
    got = gradients(scorer, scores)
    mine, theirs = (torch.cat([g[name].flatten() for name in wanted]) for g in (got, wanted))
    assert torch.corrcoef(torch.stack([mine, theirs]))[0, 1] > 0.99


def test_copies_have_a_last_layer_of_their_own(scorer):
    batch = random_batch([5], longest=40)
    before = scorer.eval()(batch)
    copied = copy.deepcopy(scorer)
    torch.testing.assert_close(copied(batch), before)
    with torch.no_grad():
        for parameter in loading.encoder_layers(copied.model)[-1].parameters():
            parameter.add_(1.0)
    assert not torch.allclose(copied(batch), before, atol=1e-2)
    torch.testing.assert_close(scorer(batch), before)


@pytest.mark.parametrize("layers", [1, 2])
def test_frozen_layers(tiny_model, layers):
    torch.manual_seed(3)
    scorer = CrossEncoder(str(tiny_model), dropout=0.0, freeze_layers=layers)
    batch = random_batch([5, 4])
    got = gradients(scorer, scorer(batch))
    assert_same_gradients(got, gradients(scorer, one_by_one(scorer.model, batch)))
    assert not any(".embeddings." in name or ".layer.0." in name for name in got)
    assert any(".layer.1." in name for name in got) is (layers == 1)


def test_a_single_layer(tiny_model):
    scorer = CrossEncoder(str(tiny_model), dropout=0.0, layers=1)
    batch = random_batch([5, 4])
    torch.testing.assert_close(scorer(batch), one_by_one(scorer.model, batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["attention_dropout", "dropout"])
def test_dropout_works_in_the_last_layer_while_training(tiny_model, kind):
    off = {"attention_dropout": 0.0, "dropout": 0.0, "head_dropout": 0.0}
    scorer = CrossEncoder(str(tiny_model), layers=1, **(off | {kind: 0.5}))
    scorer.model.bert.embeddings.dropout.p = 0.0  # what is left is the last layer's
    batch = random_batch([5])
    torch.testing.assert_close(scorer.eval()(batch), one_by_one(scorer.model, batch), rtol=1e-5, atol=1e-5)
    scorer.train()
    assert not torch.allclose(scorer(batch), scorer(batch))


def test_the_last_feed_forward_sees_one_row_a_document(scorer):
    """The regression guard: rows that go through each linear layer, over those that must."""
    rows: dict[str, int] = {}

    def count(name):
        return lambda module, args: rows.__setitem__(name, rows.get(name, 0) + args[0].shape[:-1].numel())

    linear = {n: m for n, m in scorer.model.base_model.named_modules() if isinstance(m, torch.nn.Linear)}
    handles = [module.register_forward_pre_hook(count(name)) for name, module in linear.items() if "pooler" not in name]
    batch = random_batch([20, 30], longest=40)
    scorer(batch)
    for handle in handles:
        handle.remove()
    tokens, docs = batch.tokens.ids.numel(), batch.n_docs
    assert {n for name, n in rows.items() if ".layer.0." in name} == {tokens}
    last = {name.split("layer.1.")[1]: n for name, n in rows.items() if ".layer.1." in name}
    whole = {name for name, n in last.items() if n == tokens}
    assert {name.split(".")[-1] for name in whole} <= {"key", "value", "k_lin", "v_lin"}
    assert {n for name, n in last.items() if name not in whole} == {docs}


def test_the_model_is_whole_while_it_scores(scorer):
    whole = loading.encoder_layers(scorer.model)
    seen = []

    def look(*args):
        pooler = getattr(scorer.model.base_model, "pooler", None)
        seen.append((loading.encoder_layers(scorer.model) is whole, len(whole), pooler is None))

    absent = getattr(scorer.model.base_model, "pooler", None) is None
    scorer.model.base_model.embeddings.register_forward_hook(look)
    scorer.batch_tokens = 10**6
    scorer(random_batch([2]))
    scorer._packs = False
    scorer(random_batch([2]))
    assert seen == [(True, 2, absent)] * 2
