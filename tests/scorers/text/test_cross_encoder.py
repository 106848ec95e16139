"""The cross-encoder scores as transformers does document by document, whatever is computed together."""

import logging

import pytest
import torch
from transformers import PretrainedConfig

from ltr.batch import TextLists, TokenRows
from ltr.errors import ConfigError
from ltr.scorers.text import loading
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.scorers.text.microbatches import padded
from tests.packing import PACKS, needs_packing
from tests.tiny_model import save_tiny


def random_batch(sizes, shortest=4, longest=60, seed=0) -> TextLists:
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, longest + 1, (sum(sizes),), generator=draw)
    lists = torch.tensor([0, *torch.tensor(sizes, dtype=torch.int64).cumsum(0).tolist()])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    tokens = int(offsets[-1])
    return TextLists(
        lists,
        query_ids=[f"q{i}" for i in range(len(sizes))],
        doc_ids=[f"d{j}" for j in range(sum(sizes))],
        tokens=TokenRows(
            torch.randint(5, 120, (tokens,), generator=draw), (torch.rand(tokens, generator=draw) > 0.3).long(), offsets
        ),
    )


def one_by_one(model, batch: TextLists, segments: bool = True) -> torch.Tensor:
    """The reference: transformers' own forward, each document alone, no padding."""
    scores = []
    for start, stop in zip(batch.tokens.offsets, batch.tokens.offsets[1:], strict=False):
        extra = {"token_type_ids": batch.tokens.marks[None, start:stop]} if segments else {}
        scores.append(model(input_ids=batch.tokens.ids[None, start:stop], **extra).logits[0, 0])
    return batch.pad(torch.stack(scores))


@pytest.fixture
def scorer(tiny_model) -> CrossEncoder:
    torch.manual_seed(3)
    return CrossEncoder(str(tiny_model), dropout=0.0)


@pytest.mark.parametrize("tokens", [1, 100, 100_000])
def test_scores_and_gradients_are_those_of_transformers_one_by_one(scorer, tokens):
    batch = random_batch([3, 0, 9, 1])
    scorer.batch_tokens = tokens
    slope = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    expected = one_by_one(scorer.model, batch)
    wanted = torch.autograd.grad((expected * slope).sum(), list(scorer.parameters()), materialize_grads=True)
    scores = scorer(batch)
    got = torch.autograd.grad((scores * slope).sum(), list(scorer.parameters()), materialize_grads=True)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    assert expected[batch.mask].std() > 0.01, "scores that hardly differ prove nothing"
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max().clamp(min=1)))


@pytest.mark.parametrize(
    ("kind", "packs"),
    [
        ("bert", True),
        ("electra", True),
        ("distilbert", True),
        ("roberta", True),
        ("mpnet", False),
        ("deberta-v2", False),
        ("modernbert", True),
    ],
)
@pytest.mark.filterwarnings(
    "ignore:`torch.jit.script:DeprecationWarning"
)  # transformers 4 still scripts parts of these
def test_architectures_score_as_transformers_does(tmp_path, kind, packs):
    torch.manual_seed(3)
    scorer = CrossEncoder(str(save_tiny(tmp_path / kind, kind)), batch_tokens=150).eval()
    assert scorer._packs is (packs and PACKS), "a kind that silently stopped being packed would be slow"
    batch = random_batch([5, 4], longest=40)
    expected = one_by_one(scorer.model, batch, segments=scorer._takes_segments)
    torch.testing.assert_close(scorer(batch), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-3
    assert scorer.parts()["head"]
    assert scorer.parts()["encoder"]


def test_the_wrapped_model_keeps_its_usual_padded_forward(scorer):
    """Packing must not change what the model does for others, who pad."""
    batch = random_batch([4], seed=5)
    ids, segments, mask = padded(batch.tokens, torch.arange(4), 0)
    scores = scorer.eval().model(input_ids=ids, attention_mask=mask.long(), token_type_ids=segments).logits[:, 0]
    torch.testing.assert_close(scores[None], scorer(batch), rtol=1e-5, atol=1e-5)


@needs_packing
def test_no_token_is_computed_that_is_not_there(scorer):
    """The regression guard of packing: rows given to the first layer equal the real tokens."""
    seen = []
    layer = loading.encoder_layers(scorer.model)[0]
    handle = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[:-1].numel()))
    batch = random_batch([20, 30])
    scorer(batch)
    handle.remove()
    assert sum(seen) == batch.tokens.ids.numel()


def test_checkpointing_gives_the_same_gradients(tiny_model):
    batch, gradients = random_batch([5, 3]), []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        scorer = CrossEncoder(str(tiny_model), checkpointing=checkpointing, batch_tokens=100).train()
        torch.manual_seed(4)  # dropout is on, and must be drawn the same way again
        scorer(batch).square().sum().backward()
        gradients.append([p.grad for p in scorer.parameters()])
    for with_, without in zip(*gradients, strict=True):
        torch.testing.assert_close(with_, without)


def test_lists_without_documents(scorer):
    batch = TextLists(torch.tensor([0]))
    scores = scorer(batch)
    assert scores.shape == (0, 0)
    scores.sum().backward()
    assert scorer.parts()["head"][0].grad.eq(0).all()
    assert scorer(TextLists(torch.tensor([0, 0, 0]))).shape == (2, 0)


def test_bf16_autocast_keeps_the_head_in_float32(scorer):
    seen = []
    scorer.model.classifier.register_forward_pre_hook(lambda module, args: seen.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        scores = scorer(random_batch([3]))
    assert scores.dtype == torch.float32
    assert seen == [torch.float32]


def test_lowered_copy_scores_nearly_the_same_and_leaves_the_original(scorer):
    batch = random_batch([30], seed=2)
    full = scorer.eval()(batch)
    copied = scorer.lowered(torch.bfloat16)
    assert copied.model.classifier.weight.dtype == torch.float32
    assert copied.model.bert.pooler.dense.weight.dtype == torch.float32
    assert loading.encoder_layers(copied.model)[0].attention.self.query.weight.dtype == torch.bfloat16
    lower = copied(batch)
    assert lower.dtype == torch.float32
    assert torch.corrcoef(torch.stack([full[0], lower[0]]))[0, 1] > 0.99
    assert {p.dtype for p in scorer.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in scorer.parameters())


def test_layers_keeps_the_first_ones(tiny_model):
    both, one = CrossEncoder(str(tiny_model)), CrossEncoder(str(tiny_model), layers=1)
    assert len(loading.encoder_layers(one.model)) == 1
    kept = one.model.bert.encoder.layer[0].state_dict()
    for name, weight in both.model.bert.encoder.layer[0].state_dict().items():
        assert torch.equal(kept[name], weight)


def test_freeze_layers(tiny_model):
    scorer = CrossEncoder(str(tiny_model), freeze_layers=1)
    frozen = {name for name, p in scorer.model.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in scorer.model.named_parameters() if ".embeddings." in n or ".layer.0." in n}
    trained = sum(len(part) for part in scorer.parts().values())
    assert trained == len(list(scorer.parameters())) - len(frozen)


def test_dropouts(tiny_model):
    scorer = CrossEncoder(str(tiny_model), attention_dropout=0.25, dropout=0.5, head_dropout=0.125)
    layer = scorer.model.bert.encoder.layer[0]
    assert layer.attention.self.dropout.p == 0.25
    assert layer.output.dropout.p == 0.5
    assert scorer.model.dropout.p == 0.125
    assert CrossEncoder(str(tiny_model)).model.bert.encoder.layer[0].attention.self.dropout.p == 0


def test_a_fresh_head_is_told_once_and_follows_the_global_seed(tiny_model, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        torch.manual_seed(5)
        first = CrossEncoder(str(tiny_model))
    lines = [r.getMessage() for r in caplog.records if "no scoring head" in r.getMessage()]
    assert len(lines) == 1
    assert "classifier.weight" in lines[0]
    assert first.new_head
    torch.manual_seed(5)
    assert torch.equal(CrossEncoder(str(tiny_model)).model.classifier.weight, first.model.classifier.weight)
    caplog.clear()
    assert not CrossEncoder(str(save_tiny(tmp_path / "whole", head=True))).new_head
    assert not caplog.records


def test_micro_batch_memory_is_halved_until_it_is_small(scorer):
    scorer.batch_tokens = 300
    assert [scorer.fewer_tokens(tokens) for tokens in (None, 150, 75)] == [150, 75, None]
    assert scorer.batch_tokens == 300


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"attention_dropout": 1.0}, r"attention_dropout must be at least 0 and below 1, got 1\.0"),
        ({"dropout": -0.1}, r"dropout must be at least 0 and below 1, got -0\.1"),
        ({"layers": 3}, r"layers must be 1 to 2 for .*, got 3"),
        ({"freeze_layers": 5}, r"freeze_layers must be 0 to 2 for .*, got 5"),
        ({"batch_tokens": 0}, r"batch_tokens and batch_docs must be at least 1, got 0 and None"),
        ({"batch_tokens": "all"}, r"batch_tokens must be a number, auto or None, got 'all'"),
        ({"batch_docs": 0}, r"batch_tokens and batch_docs must be at least 1, got None and 0"),
    ],
)
def test_settings_that_cannot_work(tiny_model, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        CrossEncoder(str(tiny_model), **settings)


def test_a_kind_without_that_dropout():
    config = PretrainedConfig()
    with pytest.raises(ConfigError, match=r"a .* model has no setting for head_dropout; leave it out"):
        loading._set_dropout(config, "head_dropout", loading.HEAD_DROPOUT, 0.1)
    loading._set_dropout(config, "head_dropout", loading.HEAD_DROPOUT, 0.0)


def test_texts_beyond_the_positions(scorer):
    with pytest.raises(ConfigError, match=r"reads at most 64 tokens, got texts of up to 65; set max_length to 64"):
        scorer.check_length(65)
    with pytest.raises(ConfigError, match="reads at most 64 tokens"):
        scorer(random_batch([2], shortest=70, longest=70))
    scorer.check_length(64)
