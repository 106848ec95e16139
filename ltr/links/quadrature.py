"""Adaptive quadrature for many integrals at once."""

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
