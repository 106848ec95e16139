"""Adaptive quadrature for many integrals at once, and what follows by it for an increasing function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Kronrod's 15 nodes on [-1, 1] from the middle out, their weights, and the weights of the 7 Gauss nodes among them
_KRONROD = (
    (0.0, 0.209482141084727828012999174891714, 0.417959183673469387755102040816327),
    (0.207784955007898467600689403773245, 0.204432940075298892414161999234649, 0.0),
    (0.405845151377397166906606412076961, 0.190350578064785409913256402421014, 0.381830050505118944950369775488975),
    (0.586087235467691130294144691693490, 0.169004726639267902826583426598550, 0.0),
    (0.741531185599394439863864773280788, 0.140653259715525918745189590510238, 0.279705391489276667901467771423780),
    (0.864864423359769072789712788640926, 0.104790010322250183839876322541518, 0.0),
    (0.949107912342758524526189684047851, 0.063092092629978553290700663189204, 0.129484966168869693270611432679082),
    (0.991455371120812639206854697526329, 0.022935322010529224963732008058970, 0.0),
)
_SIGNED = [(s * x, k, g) for x, k, g in _KRONROD for s in ((1, -1) if x else (1,))]

#: a piece is accepted when its two rules agree to this share of the whole integral; the better one is then far closer
TOLERANCE = 1e-12
#: ... or to this share of the piece itself: more is lost in rounding
ROUNDING = 1e-14
#: pieces halved this often are accepted as they are: a jump is located to 1e-15 of the interval by then
DEEPEST = 50
#: below this distance the slope is integrated, above it the function: the difference of two values would cancel
NEAR = 1e-2

Function = Callable[[Tensor], Tensor]


def integrate(
    integrand: Callable[[Tensor, Tensor], Tensor],
    count: int,
    like: Tensor,
    coarse: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """The integrals from 0 to 1 of ``count`` functions.

    Args:
        integrand: takes t [pieces, 15] and which [pieces, 1], the number of the function each row belongs to; returns
            values of t's shape.
        count: how many integrals.
        like: a tensor of the type and on the device to compute in.
        coarse: takes the ends of pieces and which [pieces]; True for pieces to be halved even where the rules agree,
            because they may both have looked past something.
    """
    nodes, better, worse = (like.new_tensor(column) for column in zip(*_SIGNED, strict=True))
    total, accepted, size = (like.new_zeros(count) for _ in range(3))
    which = torch.arange(count, device=like.device)
    low, length = like.new_zeros(count), like.new_ones(count)
    for depth in range(DEEPEST + 1):
        values = integrand(low[:, None] + length[:, None] * (1 + nodes) / 2, which[:, None])
        fine, rough, whole = (
            length / 2 * (v @ w) for v, w in ((values, better), (values, worse), (values.abs(), better))
        )
        # the first look may miss a narrow peak, so the size of the whole is kept up with
        size = torch.maximum(size, accepted.index_add(0, which, whole))
        allowed = torch.maximum(TOLERANCE * size[which], ROUNDING * whole)
        # what is not finite stays so, however often it is halved
        done = ~((fine - rough).abs() > allowed)
        if coarse is not None:
            done &= ~coarse(low, low + length, which)
        done |= depth == DEEPEST
        total = total.index_add(0, which[done], fine[done])
        accepted = accepted.index_add(0, which[done], whole[done])
        which, low, length = which[~done], low[~done], length[~done] / 2
        if not which.numel():
            break
        which, low, length = which.repeat(2), torch.cat([low, low + length]), length.repeat(2)
    return total


def primitive(value: Function, z: Tensor) -> Tensor:
    """∫ from 0 to z of ``value``."""
    return z * _along(lambda t, v: value(v), torch.zeros_like(z), z)


def divergence(value: Function, slope: Function, pred: Tensor, target: Tensor, d: Tensor) -> Tensor:
    """∫ from target to pred of value(z) - value(target) dz; ``d`` is pred - target."""
    near = d.abs() <= NEAR
    mean_slope = _along(lambda t, v: (1 - t) * slope(v), target, torch.where(near, d, 0))
    # between here and there: the mean height above the target
    height = _along(lambda t, v: value(v), target, torch.where(near, 0, d)) - value(target)
    return torch.where(near, d * d * mean_slope, d * height)


def difference(value: Function, slope: Function, pred: Tensor, target: Tensor, d: Tensor) -> Tensor:
    """value(pred) - value(target)."""
    near = d.abs() <= NEAR
    quotient = _along(lambda t, v: slope(v), target, torch.where(near, d, 0))
    return torch.where(near, d * quotient, value(pred) - value(target))


def bregman(slope: Function, target: Tensor, d: Tensor) -> Tensor:
    """What the primitive of ``slope`` is at target + d above its tangent at the target."""
    return d * (_along(lambda t, v: slope(v), target, d) - slope(target))


def _along(integrand: Callable[[Tensor, Tensor], Tensor], start: Tensor, d: Tensor) -> Tensor:
    """∫₀¹ of integrand(t, start + t d) dt for each element."""
    flat, step = start.flatten(), d.flatten()

    def at(t: Tensor, which: Tensor) -> Tensor:
        return integrand(t, flat[which] + t * step[which])

    def coarse(low: Tensor, high: Tensor, which: Tensor) -> Tensor:
        # what happens at scores of ordinary size, or beside the target, must not be lost in a span of thousands
        ends = torch.stack([low, high]) * step[which] + flat[which]
        left, right = ends.amin(0), ends.amax(0)
        distances = [torch.maximum(left - place, place - right).clamp(min=0) for place in (0.0, flat[which])]
        return right - left > 1 + torch.minimum(*distances) / 2

    return integrate(at, flat.numel(), flat, coarse).view_as(start)
