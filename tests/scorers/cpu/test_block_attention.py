import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ltr.scorers.cpu import block_attention as module
from ltr.scorers.cpu.block_attention import block_attention
from ltr.scorers.text.microbatches import Runs

HEADS, WIDTH = 3, 8


def projected_of(runs: Runs, factor: float = 1.0, spare: int = 0) -> Tensor:
    torch.manual_seed(len(runs))
    tokens = sum(docs * length for docs, length in runs)
    found = factor * torch.randn(tokens, 3 * HEADS * WIDTH)
    return torch.cat([found, torch.full((spare, 3 * HEADS * WIDTH), torch.nan)]).bfloat16()


def one_by_one(projected: Tensor, runs: Runs) -> Tensor:
    """The definition, in float64."""
    query, key, value = projected.double().unflatten(1, (3, HEADS, WIDTH)).unbind(1)
    found, start = [], 0
    for length in (length for docs, length in runs for _ in range(docs)):
        q, k, v = (t[start : start + length].transpose(0, 1) for t in (query, key, value))
        found.append(((q @ k.transpose(1, 2)).softmax(2) @ v).transpose(0, 1).flatten(1))
        start += length
    return torch.cat(found)


RUNS = [[(1, 1)], [(3, 8)], [(20, 9)], [(1, 40), (7, 33), (5, 32), (1, 31), (9, 3), (2, 1)], [(8, 17), (8, 16)]]


@pytest.mark.parametrize("runs", RUNS)
# from 10 on most scores are beyond what is exponentiated as it is, some of them by hundreds
@pytest.mark.parametrize("factor", [0.01, 1.0, 10.0])
def test_attention_is_that_of_the_definition(runs, factor):
    projected = projected_of(runs, factor)
    expected = one_by_one(projected, runs)
    found = block_attention(projected, runs, HEADS).double()
    # scores and shares are rounded to bfloat16; a score of 500 thereby moves by 1
    close = 0.02 if factor < 10 else 0.7
    assert (found - expected).abs().max() <= close * expected.abs().max()
    if factor == 10:
        assert (found - expected).square().mean() < 0.02 * expected.square().mean()


@pytest.mark.parametrize("sign", [-1, 1])
def test_scores_far_from_zero_on_one_side_lose_nothing(sign):
    """Without their largest taken out first all of a row would be 0, or infinite."""
    runs = [(2, 5), (1, 3)]
    projected = projected_of(runs)
    query, key, _ = projected.unflatten(1, (3, HEADS, WIDTH)).unbind(1)
    query.fill_(20.0)
    key.fill_(20.0 * sign)
    found = block_attention(projected, runs, HEADS)
    torch.testing.assert_close(found.double(), one_by_one(projected, runs), rtol=0.02, atol=0.02)


def test_sums_just_below_the_bound_do_not_overflow():
    runs = [(1, 256)]
    projected = projected_of(runs)
    query, key, value = projected.unflatten(1, (3, HEADS, WIDTH)).unbind(1)
    query.fill_(2.8125)
    key.fill_(2.8125)  # scores of 63.3
    value.fill_(10_000.0)
    assert 63 < 8 * 2.8125**2 < module.SAFE
    torch.testing.assert_close(
        block_attention(projected, runs, HEADS).double(), one_by_one(projected, runs), rtol=0.02, atol=0
    )


def test_large_scores_of_one_document_change_no_other():
    runs = [(3, 8)]
    projected = projected_of(runs)
    before = block_attention(projected, runs, HEADS)
    projected[:8] *= 12
    after = block_attention(projected, runs, HEADS)
    torch.testing.assert_close(after[8:], before[8:], rtol=0.02, atol=0.02)
    projected[0, 0] = torch.nan
    assert block_attention(projected, runs, HEADS)[8:].isfinite().all()


def test_rows_behind_the_documents_get_zeros():
    runs = [(2, 5), (1, 2)]
    found = block_attention(projected_of(runs, spare=4), runs, HEADS)
    assert found[:12].isfinite().all()
    assert found[12:].eq(0).all()


class Shapes(TorchDispatchMode):
    """What is multiplied, and how much of it is not there."""

    def __init__(self):
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.bmm.default:
            self.seen.append(tuple(args[0].shape))
        return func(*args, **(kwargs or {}))


def test_products_take_few_different_shapes():
    """Else oneDNN makes new code for every batch."""
    with Shapes() as shapes:
        for docs in range(1, 20):
            runs = [(1, length) for length in range(40 + docs, 40, -1)]
            block_attention(projected_of(runs), runs, HEADS)
    seen = set(shapes.seen)
    assert {rows // HEADS for rows, _, _ in seen} == {1, 2, 4, 8}
    assert {longest for _, longest, _ in seen} == {48, 56, 64}
    assert module.DOCS == 8


def test_little_is_filled_up():
    runs = [(1, length) for length in range(120, 40, -1)]
    with Shapes() as shapes:
        block_attention(projected_of(runs), runs, HEADS)
    products = sum(rows // HEADS * longest**2 for rows, longest, width in shapes.seen if width == WIDTH)
    assert products <= 1.2 * sum(length**2 for _, length in runs)
