"""Element-wise functions whose derivatives are known, and those whose are not; the precision they are computed in."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Function = Callable[..., Tensor]
#: (place, weight) of each node of a quadrature
Nodes = tuple[tuple[float, float], ...]


def _gauss_legendre(count: int) -> Nodes:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return tuple(zip(((nodes + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))


#: by how many nodes a type's precision is reached, over the distances that links call near
NODES: dict[torch.dtype, Nodes] = {torch.float64: _gauss_legendre(8), torch.float32: _gauss_legendre(4)}
#: the same for integrands with a factor 1 - t
AREA_NODES = {dtype: tuple((t, (1 - t) * weight) for t, weight in nodes) for dtype, nodes in NODES.items()}


class _Widened(torch.autograd.Function):
    """Half precision to float32, with a gradient that saturates on its way back instead of becoming infinite."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return z.float()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[override]
        largest = torch.finfo(ctx.dtype).max
        return grad.clamp(-largest, largest).to(ctx.dtype)


def widened(z: Tensor) -> Tensor:
    """``z`` as float32 where it is of half precision, with a gradient that saturates; any other as it is."""
    return _Widened.apply(z) if z.dtype in (torch.float16, torch.bfloat16) else z


def floating(*inputs: Tensor | float) -> tuple[Tensor, ...]:
    """The inputs as tensors of one shape and type: float64 if any is that (or a Python number), else float32."""
    tensors = [z if isinstance(z, Tensor) else torch.as_tensor(z, dtype=torch.float64) for z in inputs]
    # a Python number beside a tensor takes the tensor's precision
    given = [z for z in inputs if isinstance(z, Tensor)] or tensors
    dtype = torch.float64 if any(z.dtype == torch.float64 for z in given) else torch.float32
    raised = [widened(z) if dtype == torch.float32 else z for z in tensors]
    device = given[0].device
    moved = [z.to(device, dtype) if z.dim() == 0 and z.device != device else z.to(dtype) for z in raised]
    return tuple(torch.broadcast_tensors(*moved)) if len(moved) > 1 else tuple(moved)


def wide(z: Tensor) -> Tensor:
    """``z`` in the precision that links compute in: float64, or float32 on devices without it (Apple's)."""
    return z.to(torch.float32 if z.device.type == "mps" else torch.float64)


class _Known(torch.autograd.Function):
    """``value(*inputs)`` computed wide, whose gradients are the functions ``partials``, differentiable themselves."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Function, partials: tuple[Function, ...], *inputs: Tensor) -> Tensor:
        return value(*map(wide, inputs)).to(inputs[0].dtype)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        _, ctx.partials, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, grad: Tensor):
        needed = ctx.needs_input_grad[2:]
        pairs = zip(ctx.partials, needed, strict=True)
        return None, None, *(grad * partial(*ctx.saved_tensors) if need else None for partial, need in pairs)


# torch asks for a forward's signature whenever it is applied: found once, it is a tenth of what small losses take less
for _made in (_Widened, _Known):
    _made.forward.__signature__ = inspect.signature(_made.forward)  # type: ignore[union-attr]


def known(value: Function, partials: tuple[Function, ...], *inputs: Tensor | float) -> Tensor:
    """``value(*inputs)`` element by element, with the partial derivatives given as functions of the same inputs."""
    return _Known.apply(value, partials, *floating(*inputs))


def derivative(function: Function, z: Tensor) -> Tensor:
    """The derivative of a function of one tensor by autograd, itself differentiable where ``z`` asks for gradients."""
    keep = z.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        x = z if keep else z.detach().requires_grad_()
        values = function(x)
        if not values.requires_grad:  # the slope of a straight line
            return torch.zeros_like(z)
        (slope,) = torch.autograd.grad(values.sum(), x, create_graph=keep, materialize_grads=True)
    return slope


def mean_between(slope: Function, y: Tensor, d: Tensor) -> Tensor:
    """∫₀¹ slope(y + t d) dt for small d, by Gauss-Legendre: the difference quotient of slope's primitive."""
    return _weighted(slope, y, d, NODES[d.dtype])


def area_between(slope: Function, y: Tensor, d: Tensor) -> Tensor:
    """∫₀¹ (1 - t) slope(y + t d) dt for small d, by Gauss-Legendre: a divergence over d²."""
    return _weighted(slope, y, d, AREA_NODES[d.dtype])


def _weighted(slope: Function, y: Tensor, d: Tensor, nodes: Nodes) -> Tensor:
    """Σ weight · slope(y + t d), summed in place: over millions of pairs it is memory that takes the time."""
    (t, weight), *others = nodes
    total = slope(torch.add(y, d, alpha=t)) * weight
    for t, weight in others:
        total.add_(slope(torch.add(y, d, alpha=t)), alpha=weight)
    return total
