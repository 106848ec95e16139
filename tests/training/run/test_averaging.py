"""Checkpoint averaging."""

import torch
from torch import nn

from ltr.training.run.averaging import Averager


def offer(averager, value, step, weight):
    model = nn.Linear(2, 1)
    nn.init.constant_(model.weight, weight)
    nn.init.constant_(model.bias, -weight)
    averager.offer(model, value, step)


def test_the_mean_of_the_best_weights_is_loaded(tmp_path):
    averager = Averager(tmp_path, n=2)
    for value, step, weight in [(0.1, 1, 100.0), (0.3, 2, 2.0), (0.2, 3, 4.0)]:
        offer(averager, value, step, weight)
    model = nn.Linear(2, 1)
    assert averager.load_mean(model)
    assert torch.equal(model.weight, torch.full((1, 2), 3.0))
    assert torch.equal(model.bias, torch.tensor([-3.0]))
    assert averager.kept == [(0.3, 2), (0.2, 3)]


def test_only_the_best_stay_on_disk(tmp_path):
    averager = Averager(tmp_path, n=2, larger=False)
    for value, step in [(0.1, 1), (0.3, 2), (0.2, 3), (0.05, 4)]:
        offer(averager, value, step, 1.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step=1.safetensors", "step=4.safetensors"]


def test_nothing_is_kept_when_off(tmp_path):
    averager = Averager(tmp_path / "none", n=0)
    offer(averager, 1.0, 1, 1.0)
    assert not (tmp_path / "none").exists()
    assert not averager.load_mean(nn.Linear(2, 1))


def test_one_validation_is_no_mean(tmp_path):
    averager = Averager(tmp_path, n=3)
    offer(averager, 1.0, 1, 5.0)
    assert not averager.load_mean(nn.Linear(2, 1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path):
    averager = Averager(tmp_path, n=2)
    for step, weight in [(1, 1.0), (2, 3.0)]:
        model = Tied()
        nn.init.constant_(model.a.weight, weight)
        averager.offer(model, float(step), step)
    model = Tied()
    assert averager.load_mean(model)
    assert torch.equal(model.b.weight, torch.full((3, 3), 2.0))
    assert model.b.weight is model.a.weight
