"""Training whose batches are dealt to threads goes the way of training in one."""

import pytest
import torch

from ltr.losses import ListNet
from ltr.machine import threads
from ltr.machine.threads import workers
from ltr.scorers import LinearScorer, MLPScorer
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.training import RankingModule
from tests.scorers.text.test_cross_encoder import random_batch
from tests.tiny_model import tiny_model  # noqa: F401
from tests.training.toys import Bag, Fixed, lists, trainer

DEV = lists([2, 3], [1, 0, 0, 1, 0])


@pytest.fixture
def working(monkeypatch):
    before = torch.get_num_threads()

    def set_number(number):
        torch.set_num_threads(number)
        monkeypatch.setattr(threads, "cores", lambda: number)
        monkeypatch.setattr(threads, "LEAST", 16)

    yield set_number
    torch.set_num_threads(before)


def batches():
    found = [random_batch([3, 2, 4], seed=seed) for seed in range(4)]
    for batch in found:
        batch.labels = (torch.arange(batch.n_docs) % 3).float()
    return found


def trained(folder, make=None, **settings):
    """(weights, logged cost) after training on some batches."""
    torch.manual_seed(0)
    scorer = CrossEncoder(str(folder), dropout=0.0, head_dropout=0.0) if make is None else make()
    # an optimiser that keeps the size of gradients: Adam would turn rounding around 0 into whole steps
    made = RankingModule(scorer, ListNet(), measures=["mrr@10"], lr=1e-3, warmup=0.0, schedule="constant")
    made.configure_optimizers = lambda: torch.optim.SGD(made.parameters(), lr=0.1)
    loop = trainer(limit_val_batches=0, **settings)
    loop.fit(made, datamodule=Fixed(batches(), DEV))
    return torch.cat([p.detach().flatten() for p in made.parameters()]), float(loop.logged_metrics["train/loss"])


@pytest.mark.parametrize("accumulate", [1, 3])
def test_weights_and_costs_are_those_of_one_thread(tiny_model, working, accumulate):  # noqa: F811
    working(1)
    weights, cost = trained(tiny_model, accumulate_grad_batches=accumulate)
    for number in (2, 3):
        working(number)
        own, own_cost = trained(tiny_model, accumulate_grad_batches=accumulate)
        torch.testing.assert_close(own, weights, rtol=0, atol=1e-6)
        assert own_cost == pytest.approx(cost, rel=1e-5)


class Failing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, left):
        ctx.left = left
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.left[0]:
            ctx.left[0] -= 1
            raise torch.OutOfMemoryError("no")
        return gradient, None


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_memory_that_runs_out_in_a_thread_loses_no_batch(tiny_model, working, monkeypatch, caplog, where):  # noqa: F811
    working(2)
    weights, _ = trained(tiny_model)
    true, left = CrossEncoder._scores_of, [1]

    def tight(self, batch, docs):
        if where == "forward" and left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("no")
        return Failing.apply(true(self, batch, docs), left if where == "backward" else [0])

    monkeypatch.setattr(CrossEncoder, "_scores_of", tight)
    own, _ = trained(tiny_model)
    assert left == [0]
    assert [r.message for r in caplog.records if "out of memory" in r.message] == [
        "out of memory: training goes on with 1024 tokens at once"
    ]
    torch.testing.assert_close(own, weights, rtol=0, atol=1e-6)


def test_an_error_in_a_thread_ends_training(tiny_model, working, monkeypatch):  # noqa: F811
    working(2)

    def wrong(self, batch, docs):
        raise ValueError("no such document")

    monkeypatch.setattr(CrossEncoder, "_scores_of", wrong)
    with pytest.raises(ValueError, match="no such document"):
        trained(tiny_model)
    assert torch.get_num_threads() == 2


def test_the_rest_of_a_step_leaves_torchs_threads_to_the_workers(tiny_model, working, monkeypatch):  # noqa: F811
    working(2)
    seen = []

    class Watched(ListNet):
        def costs(self, scores, labels, mask):
            seen.append((torch.get_num_threads(), workers()))
            return super().costs(scores, labels, mask)

    step = torch.optim.SGD.step

    def watched(self, *args, **options):
        found = step(self, *args, **options)
        seen.append((torch.get_num_threads(), workers()))
        return found

    monkeypatch.setattr("tests.training.test_workers.ListNet", Watched)
    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    trained(tiny_model)
    assert set(seen) == {(1, 2)}
    assert torch.get_num_threads() == 2


def test_scorers_that_deal_nothing_keep_torchs_threads(tiny_model, working):  # noqa: F811
    working(2)
    seen = []

    class Watched(Bag):
        def forward(self, batch):
            seen.append(torch.get_num_threads())
            return super().forward(batch)

    trained(tiny_model, lambda: Watched(vocabulary=130))
    assert set(seen) == {2}
    assert not any(made.deals for made in (MLPScorer([4]), LinearScorer(), Bag()))
