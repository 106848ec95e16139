"""Every kind of link once or more: a new link adds a line here and inherits every law."""

from __future__ import annotations

from ltr.links import (
    Asinh,
    Exp,
    Identity,
    Link,
    Numeric,
    Piecewise,
    ReverseExp,
    Scaled,
    Sigmoid,
    Sinh,
    Softplus,
    Sum,
    Tanh,
)

LINKS = [
    Identity(),
    Identity(center=1.5, width=0.5, scale=3.0),
    Sigmoid(),
    Sigmoid(center=2.0, width=0.25, scale=4.0),
    Tanh(),
    Tanh(center=-1.0, width=3.0, scale=0.5),
    Asinh(),
    Asinh(center=0.5, width=0.1, scale=2.0),
    Sinh(),
    Sinh(center=-3.0, width=2.0, scale=0.25, tail=3.0),
    Exp(),
    Exp(center=1.0, width=0.5, scale=2.0, tail=2.0),
    ReverseExp(),
    ReverseExp(center=-1.0, width=0.75, scale=1.5, tail=4.0),
    Softplus(),
    Softplus(center=-0.5, width=0.5, scale=2.0),
    Piecewise(knots=(-1.0, 0.5, 2.0), slopes=(0.5, 0.1, 2.0, 1.0)),
    Piecewise(knots=(0.0, 1.0), slopes=(0.25, 1.0, 3.0)),
    Numeric("torch:asinh"),
    Numeric("torch.nn.functional.softplus", convex=True, low=0.0),
    Sigmoid(center=2.0) + 0.1 * Identity(),
    Sigmoid(center=-1.0, width=0.5) + Sigmoid(center=2.0, width=0.5),
    2.5 * (Exp(tail=3.0) + Softplus()),
    0.5 * Tanh(width=2.0),
]


def kinks(link: Link) -> tuple[float, ...]:
    """Scores where the link's slope or curvature jumps: derivatives are not compared near these."""
    if isinstance(link, Sum):
        return tuple(z for part in link.parts for z in kinks(part))
    if isinstance(link, Scaled):
        return kinks(link.link)
    if isinstance(link, Piecewise):
        return link.knots
    return tuple(link.center + side * link.width * link.tail for side in (-1, 1)) if hasattr(link, "tail") else ()
