"""Which scores to focus on: a range that the user names, or one end of a sample of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ltr.errors import ConfigError


def region(
    who: str,
    range: Sequence[float] | None,
    scores: Sequence[float] | torch.Tensor | None,
    top: float | None,
    bottom: float | None,
) -> tuple[float, float]:
    """The score range (low, high) that a ``focus`` call describes.

    Args:
        who: the link's name, for error messages.
        range: (low, high) in score units; alone.
        scores: a sample of scores; with exactly one of ``top`` and ``bottom``.
        top: share of the sample in (0, 1): the range from its quantile 1 - top to its largest score.
        bottom: share of the sample in (0, 1): the range from its smallest score to its quantile ``bottom``.

    >>> region("Sigmoid", None, [0.0, 1.0, 2.0, 3.0, 4.0], 0.25, None)
    (3.0, 4.0)
    """
    if (range is None) == (scores is None):
        raise ConfigError(f"{who}.focus: give either range=(low, high), or scores= with top= or bottom=")
    if range is not None:
        if top is not None or bottom is not None:
            raise ConfigError(f"{who}.focus: top and bottom are shares of scores=; with range= leave them out")
        return _checked_range(who, range)
    if (top is None) == (bottom is None):
        raise ConfigError(f"{who}.focus: with scores= give one of top= and bottom=, the share of scores to focus on")
    share = top if top is not None else bottom
    if not (isinstance(share, float) and 0 < share < 1):
        raise ConfigError(f"{who}.focus: top and bottom are shares between 0 and 1, got {share}; 0.2 means 20 %")
    return _end_of(who, torch.as_tensor(scores).detach().double().flatten(), share, from_top=top is not None)


def _checked_range(who: str, range: Sequence[float]) -> tuple[float, float]:
    if len(range) != 2:
        raise ConfigError(f"{who}.focus: range must be two scores (low, high), got {tuple(range)}")
    low, high = map(float, range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{who}.focus: range must be two finite scores with low < high, got ({low}, {high})")
    return low, high


def _end_of(who: str, scores: torch.Tensor, share: float, from_top: bool) -> tuple[float, float]:
    if not scores.numel() or not bool(scores.isfinite().all()):
        got = f"nan or inf among {scores.numel()}" if scores.numel() else "none"
        raise ConfigError(f"{who}.focus: scores must be finite and at least one, got {got}")
    ordered = scores.sort().values
    low, high = float(ordered[0]), float(ordered[-1])
    # by hand: torch.quantile refuses more than 16 million values
    place = (1 - share if from_top else share) * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    cut = float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
    low, high = (cut, high) if from_top else (low, cut)
    if not low < high:
        raise ConfigError(
            f"{who}.focus: the {'top' if from_top else 'bottom'} {share:g} of the {len(ordered)} scores must spread "
            f"over a range, all of them are {low:g}; take a larger share or give range=(low, high)"
        )
    return low, high
