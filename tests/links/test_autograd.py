"""Precision and shapes of what links compute."""

from __future__ import annotations

import math

import torch

from ltr.links.autograd import area_between, floating, known, mean_between, wide


def test_floating_joins_types_and_shapes():
    half, single, double = (torch.zeros(2, dtype=t) for t in (torch.bfloat16, torch.float32, torch.float64))
    assert [z.dtype for z in floating(half, single)] == [torch.float32] * 2
    assert [z.dtype for z in floating(half, double)] == [torch.float64] * 2
    assert [z.shape for z in floating(torch.zeros(3, 1), 2.0)] == [(3, 1)] * 2
    assert floating(1)[0].dtype == torch.float64


def test_wide_is_float64():
    assert wide(torch.zeros(1)).dtype == torch.float64


def test_known_derivatives_are_used_again_for_the_second():
    z = torch.tensor([0.3], requires_grad=True)

    def sine(v):
        return known(torch.sin, (cosine,), v)

    def cosine(v):
        return known(torch.cos, (lambda u: -sine(u),), v)

    (first,) = torch.autograd.grad(sine(z), z, create_graph=True)
    (second,) = torch.autograd.grad(first, z, create_graph=True)
    (third,) = torch.autograd.grad(second, z)
    torch.testing.assert_close(
        torch.stack([first, second, third]).flatten(), torch.tensor([math.cos(0.3), -math.sin(0.3), -math.cos(0.3)])
    )


def test_gauss_legendre_on_the_exponential():
    y, d = torch.tensor([0.5], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    torch.testing.assert_close(mean_between(torch.exp, y, d), y.exp() * (math.e - 1), rtol=1e-14, atol=0)
    torch.testing.assert_close(area_between(torch.exp, y, d), y.exp() * (math.e - 2), rtol=1e-14, atol=0)
