"""The running centre, and the share of scores where a transform is flat."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from ltr.errors import ConfigError
from ltr.links import Asinh, Exp, Identity, Sigmoid, Sinh, Softplus, Tanh
from ltr.losses import (
    CompositeContrast,
    CompositeSoftmax,
    DifferenceMatching,
    Dual,
    ListNet,
    Matching,
    RunningCenter,
    dead_share,
    transform_of,
)


def moved(link, to):
    center = RunningCenter(link)
    center.center.fill_(to)
    return center


@pytest.mark.parametrize("link", [Sigmoid(center=0.5), Exp(), Asinh(), Softplus()], ids=repr)
def test_is_the_link_at_another_place(link):
    center = moved(link, 3.0)
    there = type(link)(center=link.center + 3.0)
    z, s = torch.linspace(-2, 6, 9, dtype=torch.float64), torch.linspace(4, 0, 9, dtype=torch.float64)
    for method in ("__call__", "primitive", "slope", "curvature"):
        torch.testing.assert_close(getattr(center, method)(z), getattr(there, method)(z))
    for method in ("divergence", "difference", *(("bregman",) if link.convex else ())):
        torch.testing.assert_close(getattr(center, method)(z, s), getattr(there, method)(z, s))
    torch.testing.assert_close(center.inverse(there(z)), z)
    assert (center.range, center.convex) == (there.range, there.convex)
    for mask in (None, z < 3):
        assert center.slope_peak(z, mask) == pytest.approx(there.slope_peak(z, mask).item())
    assert center.dead_share(z) == there.dead_share(z)


def test_dual_targets_follow_the_centre():
    scores, labels = torch.tensor([[1.0, 4.0, 2.0]]), torch.tensor([[0.0, 1.0, 0.3]])
    found = Matching(moved(Sigmoid(), 2.0), Dual()).eval()(scores, labels)
    torch.testing.assert_close(found, Matching(Sigmoid(center=2.0), Dual())(scores, labels))


def test_first_batch_sets_the_centre_and_later_ones_pull_it():
    center = RunningCenter(Sigmoid(), quantile=0.5, momentum=0.9)
    center.observe(torch.tensor([[1.0, 2.0, 9.0]]))
    assert center.center.item() == 2.0
    center.observe(torch.tensor([[12.0]]))
    assert center.center.item() == pytest.approx(0.9 * 2 + 0.1 * 12)


def test_quantile_is_that_of_real_scores_only():
    center = RunningCenter(Sigmoid(), quantile=1.0)
    center.observe(torch.tensor([[1.0, 2.0, torch.nan]]), torch.tensor([[True, True, False]]))
    assert center.center.item() == 2.0
    spread = torch.arange(101.0)[None]
    ninth = RunningCenter(Sigmoid())
    ninth.observe(spread)
    assert ninth.center.item() == pytest.approx(90.0)


def test_batches_without_documents_move_nothing():
    center = RunningCenter(Sigmoid())
    center.observe(torch.zeros(2, 0))
    assert not center.started
    center.observe(torch.tensor([[5.0]]))
    center.observe(torch.full((1, 3), torch.nan), torch.zeros(1, 3, dtype=torch.bool))
    assert center.center.item() == 5.0


@pytest.mark.parametrize(
    "build",
    [
        lambda c: Matching(c),
        lambda c: CompositeSoftmax(c),
        lambda c: CompositeContrast(c),
        lambda c: CompositeSoftmax(c, form="matching"),
    ],
)
def test_losses_show_it_their_scores_in_training_mode_only(build):
    center = RunningCenter(Exp(), quantile=1.0)
    loss = build(center)
    scores = torch.tensor([[3.0, 1.0, torch.nan]], requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    labels = torch.tensor([[1.0, 0.0, 0.0]])
    loss.eval()(scores, labels, mask)
    assert not center.started
    loss.train()(scores, labels, mask).backward()
    assert center.center.item() == 3.0
    assert not center.center.requires_grad
    loss.eval()(scores + 10, labels, mask)
    assert center.center.item() == 3.0


def test_no_gradient_flows_through_the_centre():
    scores = torch.tensor([[3.0, 1.0]], requires_grad=True)
    labels = torch.tensor([[1.0, 0.0]])
    running = CompositeSoftmax(RunningCenter(Exp(), quantile=1.0))
    running(scores, labels).backward()
    fixed = scores.detach().clone().requires_grad_()
    CompositeSoftmax(Exp(center=3.0))(fixed, labels).backward()
    # the target scores move with the centre too
    torch.testing.assert_close(scores.grad, fixed.grad)


def test_is_saved_with_the_loss():
    loss = CompositeSoftmax(RunningCenter(Sigmoid()))
    loss(torch.tensor([[4.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    state = loss.state_dict()
    assert set(state) == {"transform.center", "transform.started"}
    twin = CompositeSoftmax(RunningCenter(Sigmoid()))
    twin.load_state_dict(state)
    assert torch.equal(twin.transform.center, loss.transform.center)
    assert twin.transform.started
    assert repr(loss) == repr(twin)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"RunningCenter: quantile must lie in \[0, 1\], got 90"):
        RunningCenter(Sigmoid(), quantile=90)
    with pytest.raises(ConfigError, match=r"RunningCenter: momentum must lie in \[0, 1\), got 1"):
        RunningCenter(Sigmoid(), momentum=1)
    with pytest.raises(ConfigError, match=r"RunningCenter: needs a plain link to shift, got RunningCenter\(link=Sig"):
        RunningCenter(RunningCenter(Sigmoid()))
    with pytest.raises(ConfigError, match=r"RunningCenter: needs a link such as .*got None"):
        RunningCenter(None)


def _observe_as(rank: int, folder: str, batches: list[list[torch.Tensor]]) -> None:
    """One process of two: observes its share of each batch and saves where its centre is after each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    loss = Matching(RunningCenter(Sigmoid(), quantile=0.5, momentum=0.5))
    seen = []
    for shares in batches:
        loss(shares[rank], torch.zeros_like(shares[rank]))
        seen.append(loss.link.center.item())
    torch.save(seen, Path(folder) / f"rank{rank}.pt")
    distributed.destroy_process_group()


def test_is_the_same_on_all_processes(tmp_path):
    batches = [
        [torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[10.0]])],  # (3·2 + 1·10) / 4 = 4
        [torch.zeros(0, 3), torch.tensor([[6.0, 6.0]])],  # nothing on one process: half of 4 and 6
        [torch.zeros(1, 0), torch.zeros(1, 0)],  # nothing anywhere
    ]
    multiprocessing.spawn(_observe_as, (str(tmp_path), batches), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert first == second == pytest.approx([4.0, 5.0, 5.0])


# dead regions


def test_dead_share_counts_real_scores_on_flat_ground():
    loss = CompositeSoftmax(Sigmoid(width=0.5))
    scores = torch.tensor([[0.0, 0.1, 30.0, 40.0, torch.nan], [torch.nan] * 5])
    mask = torch.tensor([[True, True, True, True, False], [False] * 5])
    assert dead_share(loss, scores, mask).item() == 0.5
    assert dead_share(loss, torch.zeros(0, 3)).item() == 0
    assert dead_share(CompositeSoftmax(Sigmoid() + 0.1 * Identity()), scores, mask).item() == 0


def test_dead_share_sees_where_a_running_centre_is():
    loss = CompositeContrast(RunningCenter(Tanh(), quantile=0.5))
    scores = torch.full((2, 4), 50.0)
    assert dead_share(loss, scores).item() == 1
    loss(scores, torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2))
    assert dead_share(loss, scores).item() == 0


def test_dead_share_is_asked_of_transforms_of_scores_only():
    assert transform_of(Matching(Sinh())) == Sinh()
    assert transform_of(CompositeSoftmax(Exp())) == Exp()
    for loss in (ListNet(), DifferenceMatching(Sigmoid())):
        assert transform_of(loss) is None
        assert dead_share(loss, torch.zeros(1, 2)) is None
