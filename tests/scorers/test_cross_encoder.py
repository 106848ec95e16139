"""The cross-encoder scores as transformers does document by document, whatever is computed together."""


import pytest
import torch

from ltr.batch import TextLists
from ltr.scorers.cross_encoder import CrossEncoder


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
        input_ids=torch.randint(5, 120, (tokens,), generator=draw),
        segment_ids=(torch.rand(tokens, generator=draw) > 0.3).long(),
        doc_offsets=offsets,
    )


def one_by_one(model, batch: TextLists, segments: bool = True) -> torch.Tensor:
    """The reference: transformers' own forward, each document alone, no padding."""
    scores = []
    for start, stop in zip(batch.doc_offsets, batch.doc_offsets[1:], strict=False):
        extra = {"token_type_ids": batch.segment_ids[None, start:stop]} if segments else {}
        scores.append(model(input_ids=batch.input_ids[None, start:stop], **extra).logits[0, 0])
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
