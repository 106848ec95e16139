"""Attention within the documents of a row equals attention document by document, in each way it can be computed."""

import itertools
import logging
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from ltr.scorers.text import packed, row_attention, transformer
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.scorers.text.row_attention import attend
from tests.packing import needs_packing
from tests.scorers.text.test_cross_encoder import one_by_one, random_batch
from tests.scorers.text.test_first_token import assert_same_gradients, gradients
from tests.tiny_model import save_tiny

RUNS = [(2, 9), (1, 5), (3, 2), (2, 1)]
LENGTHS = [9, 9, 5, 2, 2, 2, 1, 1]


def draw(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(sum(LENGTHS), 4, 8, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


def reference(query, key, value, bounds, bounds_k, window=None, scale=None):
    """Written from the definition: a loop over documents and queries."""
    rows = []
    for (a, b), (c, d) in zip(itertools.pairwise(bounds), itertools.pairwise(bounds_k), strict=True):
        for place, q in enumerate(query[a:b]):
            first, stop = (0, d - c) if window is None else (max(0, place - window), min(d - c, place + window + 1))
            k, v = key[c + first : c + stop], value[c + first : c + stop]
            weights = (torch.einsum("hw,thw->ht", q, k) * (scale or q.shape[-1] ** -0.5)).softmax(-1)
            rows.append(torch.einsum("ht,thw->hw", weights, v))
    return torch.stack(rows)


def places():
    return [0, *torch.tensor(LENGTHS).cumsum(0).tolist()]


@pytest.mark.parametrize("window", [None, 0, 2, 8])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_values_and_gradients(window, scale):
    parts = draw()
    expected = reference(*parts, places(), places(), window, scale)
    got = attend(*parts, RUNS, window=window, scale=scale)
    torch.testing.assert_close(got, expected)
    slope = torch.randn(got.shape, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(*(torch.autograd.grad((x * slope).sum(), parts) for x in (got, expected)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("window", [None, 2])
def test_queries_of_first_tokens_only(window):
    query, key, value = draw()
    firsts = torch.tensor(places()[:-1])
    whole = attend(query, key, value, RUNS, window=window)
    torch.testing.assert_close(attend(query[firsts], key, value, RUNS, window=window), whole[firsts])


def test_one_call_for_each_length(monkeypatch):
    """The regression guard: kernel calls grow with the number of lengths, not of documents."""
    calls = []

    def counted(*args, **options):
        calls.append(args[0].shape)
        return scaled_dot_product_attention(*args, **options)

    monkeypatch.setattr(row_attention, "scaled_dot_product_attention", counted)
    attend(*draw(), RUNS)
    assert len(calls) == len(set(LENGTHS))


@pytest.mark.parametrize("window", [None, 2])
def test_gradients_of_bfloat16_are_computed_in_float32_on_a_cpu(monkeypatch, window):
    seen = []

    def watched(query, *args, **options):
        seen.append(query.dtype)
        return scaled_dot_product_attention(query, *args, **options)

    monkeypatch.setattr(row_attention, "scaled_dot_product_attention", watched)
    parts, kept = draw(dtype=torch.bfloat16), []

    def note(tensor):
        kept.append(tensor.dtype)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        trained = attend(*parts, RUNS, scale=0.3, window=window)
    assert seen == [torch.bfloat16] * 4
    assert kept == [torch.bfloat16] * 3, "the regression guard of memory: query, key and value, and nothing besides"
    got = torch.autograd.grad(trained.float().square().sum(), parts)
    assert seen == [torch.bfloat16] * 4 + [torch.float32] * 4
    exact = [p.detach().float().requires_grad_() for p in parts]
    values = attend(*exact, RUNS, scale=0.3, window=window)
    torch.testing.assert_close(trained.float(), values, rtol=2e-2, atol=2e-2)
    for mine, theirs in zip(got, torch.autograd.grad(values.square().sum(), exact), strict=True):
        assert mine.dtype == torch.bfloat16
        torch.testing.assert_close(mine.float(), theirs, rtol=3e-2, atol=3e-2 * float(theirs.abs().max()))


def test_bfloat16_with_dropout_is_trained_as_it_is():
    parts = draw(dtype=torch.bfloat16)
    values = attend(*parts, RUNS, dropout=0.5)
    assert not torch.equal(values, attend(*parts, RUNS, dropout=0.5))
    assert all(g.isfinite().all() for g in torch.autograd.grad(values.float().sum(), parts))


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("single", [False, True])
def test_the_fused_kernel_is_told_where_documents_stand(monkeypatch, window, single):
    """A double in the place of torch's kernel reads the numbers that it is handed, as they are documented there."""
    calls = []

    def double(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1)):
        calls.append((max_q, max_k))
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        near = None if window_size == (-1, -1) else window_size[0]
        return reference(q, k, v, cu_seq_q.tolist(), cu_seq_k.tolist(), near, scale)

    monkeypatch.setattr(row_attention, "fused_for", lambda query: double)
    query, key, value = draw()
    if single:
        query = query[torch.tensor(places()[:-1])]
    bounds = torch.tensor(places(), dtype=torch.int32)
    expected = attend(query, key, value, RUNS, window=window)
    torch.testing.assert_close(attend(query, key, value, RUNS, bounds, window=window), expected)
    assert calls == [(1 if single else 9, 9)]
    attend(query, key, value, RUNS, bounds, dropout=0.5)
    assert len(calls) == 1, "the fused kernel knows no dropout"


def test_the_fused_kernel_needs_a_gpu():
    assert row_attention.fused_for(torch.zeros(1, 4, 8, dtype=torch.bfloat16)) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("single", [False, True])
def test_the_fused_kernel_agrees_on_a_gpu(single):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(sum(LENGTHS), 4, 64, generator=generator).bfloat16().cuda().requires_grad_() for _ in range(3)
    )
    assert row_attention.fused_for(query) is not None
    firsts = torch.tensor(places()[:-1], device="cuda")
    bounds = torch.tensor(places(), dtype=torch.int32, device="cuda")
    found = [attend(query[firsts] if single else query, key, value, RUNS, b) for b in (bounds, None)]
    torch.testing.assert_close(*found, rtol=2e-2, atol=2e-2)
    slopes = [torch.autograd.grad(x.float().square().sum(), (query, key, value)) for x in found]
    for mine, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=5e-2, atol=5e-2)


@needs_packing
def test_modernbert_sees_no_farther_than_its_window(tmp_path):
    torch.manual_seed(3)
    folder = save_tiny(tmp_path / "m", "modernbert", local_attention=8, mlp_dropout=0.0)
    scorer = CrossEncoder(str(folder), batch_tokens=150).train()
    assert scorer._packs
    assert [layer.attn.sliding_window for layer in scorer.model.model.layers] == [None, 5]
    batch = random_batch([5, 4], shortest=12, longest=40)
    scores = scorer(batch)
    expected = one_by_one(scorer.model, batch, segments=False)
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    assert_same_gradients(gradients(scorer, scores), gradients(scorer, expected))
    scorer.model.model.layers[1].attn.sliding_window = None
    assert not torch.allclose(scorer(batch), expected, atol=1e-3), "the window must matter here"


def test_modernbert_that_reads_the_mean_of_all_tokens_is_padded(tmp_path):
    torch.manual_seed(3)
    folder = save_tiny(tmp_path / "m", "modernbert", classifier_pooling="mean")
    scorer = CrossEncoder(str(folder), batch_tokens=150).eval()
    assert not scorer._packs
    batch = random_batch([5, 4], longest=40)
    torch.testing.assert_close(scorer(batch), one_by_one(scorer.model, batch, segments=False), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "version", "reason"),
    [
        ({"model_type": "mpnet"}, "5.0", "depends on distances within a padded batch"),
        ({"model_type": "rwkv"}, "5.0", "not known to take positions and lengths"),
        ({"is_decoder": True}, "5.0", "reads in one direction"),
        ({"classifier_pooling": "mean"}, "5.0", "its head reads the mean of all tokens, not the first"),
        ({"_attn_implementation": "eager"}, "5.0", "its attention is eager, not sdpa"),
        ({}, "4.57.6", r"transformers 4.57.6 drops the lengths .* from 5 on it hands them down"),
    ],
)
def test_what_keeps_a_model_from_being_packed(config, version, reason):
    usual = {"model_type": "bert", "_attn_implementation": "sdpa"}
    assert packed._obstacle(SimpleNamespace(**usual), "5.1.0") is None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(packed._obstacle(SimpleNamespace(**(usual | config)), version))


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_padding_is_told_once_with_its_reason(tmp_path, caplog):
    transformer._tell.cache_clear()
    folder = str(save_tiny(tmp_path / "mpnet", "mpnet", head=True))
    with caplog.at_level(logging.INFO, "ltr"):
        CrossEncoder(folder)
        CrossEncoder(folder)
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 1
    assert said[0].startswith(
        "mpnet models run in padded batches of similar length, not packed: its attention depends on"
    )
