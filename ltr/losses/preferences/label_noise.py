"""How sure the labels of pairs are: right, or wrong with a probability eps."""

from __future__ import annotations

from ltr.errors import ConfigError
from ltr.losses.targets import PairTargets

#: the better of two responses is better for sure; ties are ties
SURE = PairTargets(probability=1.0)


def within_half(owner: str, eps: float) -> float:
    """``eps`` as a float, when it is a share of wrong labels; a ConfigError that names ``owner`` otherwise."""
    if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 <= eps < 0.5:
        raise ConfigError(f"{owner}: eps must be at least 0 and below 0.5, got {eps!r}")
    return float(eps)
