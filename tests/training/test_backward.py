"""Memory that runs out in the backward pass: gradients are those of a pass that went well."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from ltr.links import Identity, Softplus
from ltr.losses import CompositeSoftmax, ListNet, Positives, RunningCenter
from ltr.training import RankingModule, module
from ltr.training.backward import backward_in_less_memory
from tests.training.test_module import DEV, part
from tests.training.toys import Bag, Fixed, lists, trainer


class Failing(torch.autograd.Function):
    """The identity, whose backward pass fails ``left[0]`` times, after some gradients have been given."""

    @staticmethod
    def forward(ctx, values, left, error):
        ctx.left, ctx.error = left, error
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.left[0]:
            ctx.left[0] -= 1
            raise ctx.error
        return gradient, None, None


def costs(left, error=torch.OutOfMemoryError("no")):  # noqa: B008 (only ever raised)
    first, second = (torch.nn.Parameter(torch.tensor(v)) for v in (2.0, 3.0))

    def again():
        # the gradient of ``second`` is there before that of ``first`` fails
        return Failing.apply(first**2, left, error) * second

    return first, second, again


@pytest.mark.parametrize("earlier", [None, 10.0])
def test_gradients_are_those_of_a_pass_that_went_well(earlier):
    first, second, again = costs([2])
    if earlier is not None:
        first.grad, second.grad = torch.tensor(earlier), torch.tensor(earlier)
    told = []
    backward_in_less_memory(again(), again, [first, second], lambda failures: told.append(failures) or True)
    assert told == [0, 1]
    assert first.grad == 12.0 + (earlier or 0)
    assert second.grad == 4.0 + (earlier or 0)


def test_the_failed_graph_is_let_go():
    first, second, again = costs([1])
    cost = again()
    backward_in_less_memory(cost, again, [first, second], lambda failures: True)
    assert cost.grad_fn is None, "Lightning still holds this tensor"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("nothing left"), RuntimeError("another matter")])
def test_errors_come_through_where_nothing_can_be_spared(error):
    first, second, again = costs([9], error)
    with pytest.raises(RuntimeError, match=str(error)):
        backward_in_less_memory(again(), again, [first, second], lambda failures: False)


class Tight(Bag):
    """Its backward pass fails a few times."""

    def __init__(self, left):
        super().__init__()
        self.left, self.spared = [left], []

    def forward(self, batch):
        return Failing.apply(super().forward(batch), self.left, torch.OutOfMemoryError("no"))

    def spare(self, retries):
        self.spared.append(retries)
        return True


@pytest.mark.parametrize(
    ("processes", "precision", "spares"),
    [(1, "32-true", True), (1, "bf16-mixed", True), (2, "32-true", False), (1, "16-mixed", False)],
)
def test_where_a_backward_pass_cannot_be_repeated_it_is_lightnings_own(monkeypatch, processes, precision, spares):
    """Other processes would wait for gradients that have come already, and a scaled loss is not the cost."""
    made = RankingModule(Tight(0), ListNet(), measures=["mrr@10"])
    made._trainer = SimpleNamespace(world_size=processes, precision=precision)
    called = []
    monkeypatch.setattr(module, "backward_in_less_memory", lambda *_: called.append("spare"))
    monkeypatch.setattr(pl.LightningModule, "backward", lambda *_: called.append("own"))
    made.backward(torch.tensor(1.0))
    assert called == ["spare" if spares else "own"]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_loses_no_batch(accumulate, precision):
    whole = lists([3, 2, 2, 4], [1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 2], seed=1)
    found = []
    for left in (0, 2):
        torch.manual_seed(0)
        scorer = Tight(left)
        made = RankingModule(scorer, ListNet(), measures=["mrr@10"], lr=0.1, warmup=0.0, schedule="constant")
        loop = trainer(limit_val_batches=0, accumulate_grad_batches=accumulate, precision=precision)
        loop.fit(made, datamodule=Fixed([part(whole, 0, 1), part(whole, 1, 4)], DEV))
        assert scorer.spared == [0, 1][:left]
        found.append((torch.cat([p.detach().flatten() for p in made.parameters()]), loop.logged_metrics["train/loss"]))
    torch.testing.assert_close(*(weights for weights, _ in found))
    assert found[0][1] == pytest.approx(float(found[1][1]))


def test_a_running_centre_stands_still_while_a_batch_is_computed_again():
    whole = lists([3, 2], [1, 0, 0, 1, 1], seed=1)
    centers = []
    for left in (0, 2):
        torch.manual_seed(0)
        center = RunningCenter(Identity() + Softplus(), of="positives", momentum=0.5)
        center.center.fill_(-3.0), center.started.fill_(True)
        made = RankingModule(Tight(left), CompositeSoftmax(center, targets=Positives()), measures=["mrr@10"])
        trainer(limit_val_batches=0).fit(made, datamodule=Fixed([whole], DEV))
        centers.append(float(center.center))
    assert centers[0] == centers[1] != -3.0
