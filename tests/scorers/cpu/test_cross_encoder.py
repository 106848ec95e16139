import logging
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ltr.batch import TextLists, TokenRows
from ltr.errors import ConfigError
from ltr.machine.threads import in_threads
from ltr.scorers.cpu import cross_encoder as fused_module
from ltr.scorers.cpu import layers as fused_layers
from ltr.scorers.cpu.cross_encoder import fused, spare_rows
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.scorers.text.test_cross_encoder import one_by_one, random_batch
from tests.tiny_model import save_tiny


@pytest.fixture
def scorer(tiny_model) -> CrossEncoder:
    torch.manual_seed(1)
    return CrossEncoder(str(tiny_model)).eval()


@pytest.mark.parametrize("kind", ["bert", "electra", "distilbert", "roberta"])
@pytest.mark.parametrize("reorders", [True, False])
def test_float32_scores_are_those_of_transformers_one_by_one(tmp_path, monkeypatch, kind, reorders):
    if not reorders:
        monkeypatch.setattr(fused_layers, "reorders", lambda dtype: False)
    torch.manual_seed(3)
    scorer = CrossEncoder(str(save_tiny(tmp_path / kind, kind)), batch_tokens=150).eval()
    batch = random_batch([5, 4], longest=40)
    expected = one_by_one(scorer.model, batch, segments=scorer._takes_segments)
    assert expected.std() > 1e-3
    # the last layer multiplies in another order; these random weights are ten times as large as trained ones
    torch.testing.assert_close(scorer.fused(torch.float32)(batch), expected, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
@pytest.mark.parametrize("reorders", [True, False])
def test_other_activations(scorer, monkeypatch, activation, reorders):
    from transformers.activations import ACT2FN

    if not reorders:
        monkeypatch.setattr(fused_layers, "reorders", lambda dtype: False)
    scorer.model.config.hidden_act = activation
    for layer in scorer.model.bert.encoder.layer:
        layer.intermediate.intermediate_act_fn = ACT2FN[activation]
    batch = random_batch([6])
    torch.testing.assert_close(scorer.fused(torch.float32)(batch), scorer(batch), rtol=1e-5, atol=1e-5)


def test_bfloat16_drifts_little_and_the_original_stays(scorer):
    batch = random_batch([30], seed=2)
    full, lower = scorer(batch), scorer.fused(torch.bfloat16)(batch)
    assert lower.dtype == torch.float32
    assert 0 < (full - lower).abs().max() < 0.1 * (full.max() - full.min())
    assert len(scorer.model.bert.encoder.layer) == 2
    assert all(p.requires_grad for p in scorer.parameters())


def test_sums_between_layers_are_rounded_by_the_products_that_make_them(scorer, monkeypatch):
    if not fused_layers.reorders(torch.bfloat16):
        pytest.skip("this torch has no such products here")
    seen = []
    true = fused_layers.layer_norm
    monkeypatch.setattr(
        fused_layers, "layer_norm", lambda sums, *more: seen.append((sums.dtype, len(sums))) or true(sums, *more)
    )
    monkeypatch.setattr(fused_module, "threads_for", lambda tokens: 1)
    scorer.fused(torch.bfloat16)(random_batch([6]))
    assert len(seen) == 4
    # the last layer has first tokens alone, whose sums stay in float32
    assert [kind for kind, _ in seen] == [torch.bfloat16] * 2 + [torch.float32] * 2
    assert [rows for _, rows in seen[2:]] == [6, 6]


def test_sums_stay_in_float32_where_a_layer_cannot_keep_them_otherwise(scorer):
    layers = scorer.fused(torch.bfloat16).layers
    own = torch.bfloat16 if fused_layers.reorders(torch.bfloat16) else torch.float32
    assert fused_layers.kept_in(layers) == own
    assert fused_layers.kept_in([layers[0], replace(layers[1], narrow=lambda x: x)]) == torch.float32
    assert fused_layers.kept_in([replace(layers[0], precise=layers[1]), layers[1]]) == torch.float32
    assert fused_layers.kept_in(scorer.fused(torch.float32).layers) == torch.float32


def test_budgets_and_order_of_documents_change_nothing(scorer):
    batch = random_batch([7, 1, 12])
    made = scorer.fused(torch.float32)
    whole = made(batch)
    made.batch_tokens, seen = 64, []
    made.model.classifier.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    torch.testing.assert_close(made(batch), whole, rtol=1e-5, atol=1e-6)
    tokens = sorted(batch.lengths.tolist(), reverse=True)
    assert sum(seen) == 20
    assert len(seen) >= sum(tokens) / 64


def test_the_bound_on_documents_is_kept(tiny_model):
    made = CrossEncoder(str(tiny_model), batch_docs=4).fused(torch.float32)
    seen = []
    made.model.classifier.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    made(random_batch([7, 2]))
    assert seen == [4, 4, 1]


def test_rows_behind_the_documents_get_zeros():
    projected = torch.cat([torch.randn(6, 24), torch.full((2, 24), float("nan"))])
    values = fused_layers.attended(projected, [(2, 3)], heads=2)
    assert values.isfinite().all()
    assert values[6:].eq(0).all()
    assert values[:6].ne(0).any(1).all()


def test_lists_without_documents(scorer):
    made = scorer.fused(torch.float32)
    assert made(TextLists(torch.tensor([0]))).shape == (0, 0)
    assert made(TextLists(torch.tensor([0, 0, 0]))).shape == (2, 0)


class Rows(TorchDispatchMode):
    """Rows that went through products with weights, and calls of attention."""

    def __init__(self):
        super().__init__()
        self.products: list[int] = []
        self.attentions = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if "_linear_pointwise" in str(func) or func in (torch.ops.aten.addmm.default, torch.ops.aten.linear.default):
            self.products.append(out.shape[0])
        self.attentions += "attention" in str(func) or "softmax" in str(func)
        return out


def test_no_token_is_computed_that_is_not_there(scorer, monkeypatch):
    """The regression guard, in counts: rows of products, and calls of attention."""
    monkeypatch.setattr(fused_module, "threads_for", lambda tokens: 1)  # what is counted, is counted in this thread
    batch = random_batch([20, 30])
    made = scorer.fused(torch.float32)
    with Rows() as seen:
        made(batch)
    tokens, docs = batch.tokens.ids.numel(), batch.n_docs
    # the first layer: four products of every token; the last one: four of first tokens; then pooler and classifier
    assert seen.products.count(docs) == 6
    large = [rows for rows in seen.products if rows != docs]
    assert len(large) == 4
    assert tokens <= max(large) <= 1.032 * tokens
    assert seen.attentions == 2 * len(batch.lengths.unique())


@pytest.mark.parametrize("tokens", [1, 31, 65, 1000, 3969, 4095, 100_001])
def test_few_rows_are_spare(tokens):
    assert 0 <= spare_rows(tokens) <= tokens / 32


def test_rows_take_few_different_numbers():
    """Else oneDNN makes new code for every batch."""
    assert len({tokens + spare_rows(tokens) for tokens in range(3800, 4097)}) <= 6


def test_kinds_that_are_not_known_say_why(tmp_path, caplog):
    scorer = CrossEncoder(str(save_tiny(tmp_path / "mpnet", "mpnet")))
    with caplog.at_level(logging.INFO, logger="ltr.scorers.cpu.cross_encoder"):
        assert scorer.fused(torch.float32) is None
    assert "mpnet is scored through transformers: its layers are none of bert, electra" in caplog.text


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("hidden_act", "silu", "its activation silu is none of gelu"),
        ("is_decoder", True, "it has relative positions or reads in one direction"),
        ("classifier_pooling", "mean", "its head does not read first tokens alone"),
    ],
)
def test_settings_that_are_not_known_say_why(scorer, caplog, setting, value, reason):
    setattr(scorer.model.config, setting, value)
    with caplog.at_level(logging.INFO, logger="ltr.scorers.cpu.cross_encoder"):
        assert fused(scorer.model, torch.float32, "x") is None
    assert reason in caplog.text


def test_it_stays_where_it_was_made(scorer):
    made = scorer.fused(torch.float32)
    with pytest.raises(ConfigError, match="stays on the CPU in the precision it was made in, cannot go to meta"):
        made.to("meta")
    with pytest.raises(ConfigError, match=r"cannot go to cpu as torch.bfloat16; load the model"):
        made.to(torch.bfloat16)
    assert made.to("cpu") is made


def test_documents_beyond_the_positions(scorer):
    longest = scorer.max_positions
    with pytest.raises(ConfigError, match=f"reads at most {longest} tokens, got texts of up to {longest + 1}; set"):
        scorer.fused(torch.float32)(random_batch([3], shortest=longest + 1, longest=longest + 1))


def test_the_budget_is_halved_until_it_is_small(scorer):
    made = scorer.fused(torch.float32)
    made.batch_tokens = 300
    assert [made.fewer_tokens(tokens) for tokens in (None, 150, 75)] == [150, 75, None]
    assert made.batch_tokens == 300


def test_it_never_draws_dropout(scorer):
    made, batch = scorer.fused(torch.float32), random_batch([5])
    first = made(batch)
    assert torch.equal(made.train()(batch), first)
    assert not made.training


def test_foreign_keys_in_a_configuration_change_nothing(tmp_path):
    """DistilBERT's own keys count, not those of BERT that someone left there."""
    scorer = CrossEncoder(str(save_tiny(tmp_path / "distilbert", "distilbert"))).eval()
    scorer.model.config.hidden_act = "relu"
    scorer.model.config.type_vocab_size = 2
    batch = random_batch([6])
    expected = one_by_one(scorer.model, batch, segments=False)
    torch.testing.assert_close(scorer.fused(torch.float32)(batch), expected, rtol=1e-5, atol=3e-5)


def test_gradients_are_not_copied(scorer):
    batch = random_batch([3])
    scorer(batch).sum().backward()
    assert all(p.grad is None for p in scorer.fused(torch.float32).parameters())
    assert scorer.parts()["head"][0].grad is not None


def test_processors_that_cannot_multiply_bfloat16(scorer, monkeypatch):
    """oneDNN would refuse there to reorder the weights."""
    batch = random_batch([5])
    expected = scorer.fused(torch.bfloat16)(batch)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert fused_layers.reorders(torch.float32) is not fused_layers.reorders(torch.bfloat16)
    torch.testing.assert_close(scorer.fused(torch.bfloat16)(batch), expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_nothing_and_share_the_work_evenly(scorer, monkeypatch, dtype):
    batch = random_batch([40, 23], longest=40)
    made = scorer.fused(dtype)
    monkeypatch.setattr(fused_module, "threads_for", lambda tokens: 1)
    expected = made(batch)
    seen = []
    monkeypatch.setattr(fused_module, "threads_for", lambda tokens: 3)
    monkeypatch.setattr(
        fused_module,
        "in_threads",
        lambda work, pieces, threads: seen.append((pieces, threads)) or in_threads(work, pieces, threads),
    )
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-5
    # autocast is off whatever the caller has on, in this thread and in others
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(made(batch), expected, rtol=tolerance, atol=tolerance)
    assert torch.corrcoef(torch.cat([made(batch).view(1, -1), expected.view(1, -1)]))[0, 1] > 0.999
    made.batch_tokens = 300
    torch.testing.assert_close(made(batch), expected, rtol=tolerance, atol=tolerance)
    (few, threads), _, (many, _) = seen
    assert threads == len(few) == 3
    sizes, finer = ([int(batch.lengths[piece].sum()) for piece in pieces] for pieces in (few, many))
    assert max(sizes) - min(sizes) <= 3 * 40
    assert max(finer) <= 300
    assert len(finer) == 3 * -(-sum(sizes) // 900)


def test_autocast_is_left_as_it_is(scorer, monkeypatch):
    monkeypatch.setattr(fused_module, "threads_for", lambda tokens: 1)
    batch = random_batch([5])
    made = scorer.fused(torch.float32)
    expected = made(batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(batch), expected)
        assert torch.is_autocast_enabled("cpu")


def test_queries_of_models_with_two_separators():
    """<s> q </s></s> d </s>, and a document without any separator, which is all query."""
    ids = torch.tensor([0, 7, 8, 2, 2, 9, 9, 2, 0, 7, 9])
    batch = TextLists(torch.tensor([0, 2]), tokens=TokenRows(ids, torch.zeros_like(ids), torch.tensor([0, 8, 11])))
    line = fused_module.row(batch.tokens, torch.tensor([1, 0]))
    assert fused_module.query_rows(line, 2).tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_long_documents_take_attention_that_keeps_no_scores(scorer, monkeypatch):
    lengths = []
    true = fused_layers.block_attention
    monkeypatch.setattr(
        fused_layers, "block_attention", lambda p, runs, heads: lengths.append(runs[0][1]) or true(p, runs, heads)
    )
    monkeypatch.setattr(fused_layers, "LONGEST", 20)
    monkeypatch.setattr(fused_module, "threads_for", lambda tokens: 1)
    batch = random_batch([30], longest=40)
    made = scorer.fused(torch.bfloat16)
    made.batch_tokens = 64
    found = made(batch)
    assert lengths
    assert max(lengths) <= 20 < int(batch.lengths.max())
    assert torch.corrcoef(torch.cat([found.view(1, -1), scorer(batch).detach().view(1, -1)]))[0, 1] > 0.99


def test_training_on_does_not_change_it(scorer):
    batch = random_batch([6])
    made = scorer.fused(torch.float32)
    first = made(batch)
    with torch.no_grad():
        for parameter in scorer.parameters():
            parameter.add_(1)
    assert torch.equal(made(batch), first)
