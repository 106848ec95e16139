"""Training batches dealt to threads: the gradients are those of one thread, and whoever trains notices nothing."""

import threading

import pytest
import torch
from torch import nn

from ltr.links import Sigmoid
from ltr.losses import CompositeContrast, ListNet
from ltr.machine import threads
from ltr.scorers.cpu import dealing
from ltr.scorers.cpu.dealing import added, dealt, hands
from ltr.scorers.cpu.drawing import Drawing
from ltr.scorers.text import cross_encoder
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.packing import PACKS
from tests.scorers.text.test_cross_encoder import random_batch
from tests.tiny_model import save_tiny


@pytest.fixture
def working(monkeypatch):
    """So many threads train; few tokens are enough for each."""
    before = torch.get_num_threads()

    def set_number(number: int) -> None:
        torch.set_num_threads(number)
        monkeypatch.setattr(threads, "cores", lambda: number)
        monkeypatch.setattr(threads, "LEAST", 16)

    yield set_number
    torch.set_num_threads(before)


@pytest.fixture
def seen(monkeypatch):
    """The number of threads in each deal."""
    found = []
    monkeypatch.setattr(
        cross_encoder, "dealt", lambda run, pieces, *rest: found.append(len(pieces)) or dealt(run, pieces, *rest)
    )
    return found


def gradients(scorer, loss=ListNet(reduction="sum"), batches=1, seed=0, autocast=False):  # noqa: B008
    """What training on some batches, one after the other, adds up to."""
    scorer.zero_grad()
    torch.manual_seed(seed)
    for number in range(batches):
        batch = random_batch([4, 3, 5], seed=number)
        labels = batch.pad((torch.arange(batch.n_docs) % 3).float())
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            scores = scorer(batch)
        loss(scores, labels, batch.mask).sum().backward()
    return {name: p.grad.clone() for name, p in scorer.named_parameters() if p.grad is not None}


def model(folder, **settings):
    return CrossEncoder(str(folder), **{"dropout": 0.0, "head_dropout": 0.0, **settings}).train()


def equal(found, wanted):
    """To 1e-6 of the largest; where rows are padded, as widely as their batch is, sums stand in other orders."""
    bound = 1e-6 if PACKS else 3e-6
    assert found.keys() == wanted.keys()
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert float((found[name] - gradient).abs().max()) < bound * max(1.0, largest), name


@pytest.mark.parametrize("loss", [ListNet(reduction="sum"), CompositeContrast(Sigmoid(), reduction="sum")])
@pytest.mark.parametrize(
    "settings", [{}, {"checkpointing": True}, {"freeze_layers": 1}, {"batch_tokens": 40}, {"batch_docs": 2}]
)
def test_gradients_are_those_of_one_thread(tiny_model, working, seen, loss, settings):
    torch.manual_seed(3)
    scorer = model(tiny_model, **settings)
    working(1)
    wanted = gradients(scorer, loss, batches=2)
    assert not seen
    for number in (2, 3):
        working(number)
        equal(gradients(scorer, loss, batches=2), wanted)
    assert seen == [2, 2, 3, 3]


@pytest.mark.parametrize("kind", ["electra", "distilbert", "roberta", "modernbert", "mpnet", "deberta-v2", "albert"])
def test_architectures_train_in_threads(tmp_path, working, seen, kind):
    torch.manual_seed(3)
    scorer = model(save_tiny(tmp_path, kind))
    for part in scorer.modules():  # whatever a kind calls its own
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    working(1)
    wanted = gradients(scorer)
    working(2)
    equal(gradients(scorer), wanted)
    assert seen == [2]


def test_bfloat16_is_that_of_the_thread_that_calls(tiny_model, working):
    torch.manual_seed(3)
    scorer = model(tiny_model)
    working(1)
    exact, wanted = gradients(scorer), gradients(scorer, autocast=True)
    working(2)
    found = gradients(scorer, autocast=True)
    far = max(float((found[name] - exact[name]).abs().max()) for name in exact)
    assert far > 1e-5, "computed in float32"
    assert far < 2 * max(float((wanted[name] - exact[name]).abs().max()) for name in exact)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("attention", [0.0, 0.2])
def test_dropout_is_decided_by_the_seed(tiny_model, working, attention, checkpointing):
    torch.manual_seed(3)
    scorer = model(tiny_model, dropout=0.2, head_dropout=0.2, attention_dropout=attention, checkpointing=checkpointing)
    working(3)
    first, same, other = (gradients(scorer, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("sizes", [[1, 1], [2, 1]])
def test_each_piece_draws_by_itself(working, sizes):
    working(2)
    weight = nn.Parameter(torch.ones(200))
    pieces = [[torch.ones(())] * size for size in sizes]
    kept = torch.cat(dealt(lambda piece: nn.functional.dropout(weight * piece), pieces, [weight])).view(-1, 200) > 0
    assert len(kept.unique(dim=0)) == sum(sizes)


def test_checkpoints_draw_again_what_they_drew(tiny_model, working):
    torch.manual_seed(3)
    scorer = model(tiny_model, dropout=0.2, head_dropout=0.2, attention_dropout=0.2)
    working(2)
    wanted = gradients(scorer, seed=1)
    scorer.checkpointing = True
    equal(gradients(scorer, seed=1), wanted)


def test_checkpoints_of_threads_leave_the_generator_of_all_alone(tiny_model, working, monkeypatch):
    """Set and put back by several threads at once, it would end as any of them found it."""
    scorer = model(tiny_model, dropout=0.2, batch_tokens=40, checkpointing=True)
    working(2)
    touched = []
    monkeypatch.setattr(torch, "set_rng_state", lambda state: touched.append(threading.get_ident()))
    gradients(scorer)
    assert touched == []


def test_dropout_drops_its_share_and_keeps_the_mean():
    values = torch.ones(200, 200, requires_grad=True)
    with Drawing(5):
        dropped = nn.functional.dropout(values, 0.25)
        assert nn.functional.dropout(values, 0.25, training=False) is values
        assert torch.equal(nn.functional.dropout(values, 1.0), torch.zeros(200, 200))
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert torch.equal(torch.autograd.grad(dropped.sum(), values)[0], dropped)
    with Drawing(5):
        again = torch.ones(200, 200)
        assert nn.functional.dropout(again, 0.25, inplace=True) is again
    assert torch.equal(again, dropped)


@pytest.mark.parametrize("mask", [None, "bool", "float", "causal"])
def test_attention_with_dropout_is_attention_but_for_what_is_dropped(mask):
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, 5, 8, generator=draw) for heads in (4, 2, 2))
    seen = torch.rand(5, 5, generator=draw) > 0.3
    seen.fill_diagonal_(True)
    given = {"bool": seen, "float": torch.where(seen, 0.0, -torch.inf)}.get(mask)
    options = {"attn_mask": given, "is_causal": mask == "causal", "enable_gqa": True, "scale": 0.3}
    wanted = nn.functional.scaled_dot_product_attention(query, key, value, **options)
    with Drawing(0):
        assert torch.equal(nn.functional.scaled_dot_product_attention(query, key, value, **options), wanted)
        nearly = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=1e-12, **options)
        dropped = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=0.5, **options)
    torch.testing.assert_close(nearly, wanted)
    assert not torch.allclose(dropped, wanted, atol=0.05)


class Failing(torch.autograd.Function):
    """The identity, whose backward pass fails in one of the threads, after the others are done."""

    @staticmethod
    def forward(ctx, values, error):
        ctx.error = error
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.error is not None:
            raise ctx.error
        return gradient, None


@pytest.mark.parametrize("error", [ValueError("piece 1"), torch.OutOfMemoryError("no")])
@pytest.mark.parametrize("backwards", [False, True])
def test_what_fails_in_a_thread_fails_here_and_leaves_no_gradient(working, error, backwards):
    working(2)
    weight = nn.Parameter(torch.tensor(2.0))
    weight.grad = torch.tensor(7.0)

    def run(piece):
        if not backwards and int(piece) == 1:
            raise error
        return Failing.apply(weight * piece, error if backwards and int(piece) == 1 else None)[None]

    with pytest.raises(type(error), match=str(error)):
        torch.cat(dealt(run, [[torch.tensor(0)], [torch.tensor(1)]], [weight])).sum().backward()
    assert weight.grad == 7.0


def test_each_thread_goes_back_through_its_own(working):
    working(2)
    weight, found = nn.Parameter(torch.tensor(2.0)), []
    together = threading.Barrier(2, timeout=10)  # one alone would wait in vain

    class Meeting(Failing):
        @staticmethod
        def backward(ctx, gradient):
            together.wait()
            found.append(threading.get_ident())
            return gradient, None

    run = lambda piece: Meeting.apply(weight * piece, None)[None]  # noqa: E731
    scores = torch.cat(dealt(run, [[torch.tensor(3.0)], [torch.tensor(5.0)]], [weight]))
    scores.sum().backward(retain_graph=True)
    assert weight.grad == 8.0
    scores.sum().backward()  # what was asked to stay is there
    assert weight.grad == 16.0
    assert len(found) == 4
    assert threading.get_ident() not in found
    with pytest.raises(RuntimeError, match="second time"):
        scores.sum().backward()


def test_sums_spare_what_two_parameters_share():
    one, shared = torch.ones(2), torch.ones(3)
    found = [
        [shared, shared, one, None, None],
        [torch.ones(3), 2 * torch.ones(3), None, 4 * one, None],
        [None, shared, None, None, None],
    ]
    sums = added(found)
    assert [None if s is None else s.tolist() for s in sums] == [[2.0] * 3, [4.0] * 3, [1.0] * 2, [4.0] * 2, None]
    assert shared.tolist() == [1.0] * 3
    assert found == [[None] * 5] * 3


def test_hands_are_even():
    sizes = [7, 1, 5, 3, 3, 2]
    dealt_out = hands(sizes, 3)
    assert sorted(i for own in dealt_out for i in own) == list(range(6))
    assert [sum(sizes[i] for i in own) for own in dealt_out] == [7, 7, 7]
    assert hands([4], 3) == [[0]]


def test_no_more_threads_than_gradients_are_kept_for(tiny_model, working, seen):
    working(dealing.MOST + 2)
    gradients(model(tiny_model))
    assert seen == [dealing.MOST]


@pytest.mark.parametrize(
    "why", ["evaluation", "no gradients", "frozen", "processes", "compiled", "one thread", "few tokens"]
)
def test_where_it_does_not_apply_one_thread_computes(tiny_model, working, seen, monkeypatch, why):
    scorer = model(tiny_model)
    working(1 if why == "one thread" else 2)
    if why == "evaluation":
        scorer.eval()
    if why == "frozen":
        scorer.requires_grad_(False)
    if why == "processes":
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    if why == "compiled":
        scorer.model = torch.compile(scorer.model, backend="eager")
    if why == "few tokens":
        monkeypatch.setattr(threads, "LEAST", 10**6)
    with torch.set_grad_enabled(why != "no gradients"):
        scorer(random_batch([4, 3]))
    assert not seen
    assert scorer.deals == (why in ("evaluation", "no gradients", "frozen", "few tokens"))
