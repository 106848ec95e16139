"""Gains, discounts and ideal DCG: what a grade is worth, and how much a rank pays of it."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.losses.base import refuse

GAINS = ("exponential", "linear")

#: sums of gains of grades up to this one are far from the end of float32 in any list
HARMLESS = 64


def check_gains(owner: str, gains: str) -> None:
    """Raise ConfigError unless ``gains`` is a known kind of gain."""
    if gains not in GAINS:
        raise ConfigError(
            f"{owner}: gains must be {' (2^grade - 1) or '.join(GAINS)} (the grade), got {gains!r}; "
            f"{suggestion(str(gains), GAINS)}"
        )


def check_cutoff(owner: str, cutoff: int | None) -> None:
    """Raise ConfigError unless ``cutoff`` is None or a whole number of ranks, at least 1."""
    if cutoff is not None and (isinstance(cutoff, bool) or not isinstance(cutoff, int) or cutoff < 1):
        raise ConfigError(
            f"{owner}: cutoff must be a whole number of ranks, at least 1, or None for all, got {cutoff!r}"
        )


def check_grades(owner: str, labels: Tensor, mask: Tensor, gains: str = "exponential") -> None:
    """Raise DataError unless every real label is a grade that has a gain.

    A linear gain needs numbers from 0 up; 2^grade - 1 needs whole grades, and gains whose sum over a list stays finite
    in the labels' type (in float32 a single grade of 128 overflows).

    Args:
        owner: who complains.
        labels: [lists, docs] finite.
        mask: [lists, docs] True where there is a document.
        gains: ``"exponential"`` or ``"linear"``.
    """
    if _plain(labels, gains):
        return
    refuse(f"{owner}: grades must not be negative", labels, mask & (labels < 0), "map such labels to 0 or mask them")
    if gains == "linear":
        return
    refuse(
        f"{owner}: grades must be whole numbers, since the gain is 2^grade - 1",
        labels,
        mask & (labels != labels.floor()),
        "round them, or set gains='linear'",
    )
    if not labels.numel() or float(labels.max()) <= HARMLESS:
        return
    total = torch.where(mask, gain(labels), 0).sum(-1, keepdim=True)
    known = torch.where(mask, labels, -1)
    refuse(
        f"{owner}: gains 2^grade - 1 must not overflow {str(labels.dtype).removeprefix('torch.')} when summed over a list",
        labels,
        ~total.isfinite() & (known == known.amax(-1, keepdim=True)),
        "map the grades to a smaller range, or set gains='linear'",
    )


def _plain(labels: Tensor, gains: str) -> bool:
    """Whether nothing can be wrong with the labels, not even what stands at masked places: two kernels tell, not ten."""
    if not labels.numel():
        return True
    low, high = (end.item() for end in labels.detach().aminmax())
    return low >= 0 and (gains == "linear" or (high <= HARMLESS and not bool(labels.detach().frac().any())))


def gain(labels: Tensor, gains: str = "exponential") -> Tensor:
    """What a document of each grade is worth: 2^grade - 1, or the grade itself.

    >>> gain(torch.tensor([0.0, 1.0, 3.0]))
    tensor([0., 1., 7.])
    """
    return torch.exp2(labels) - 1 if gains == "exponential" else labels


def discount(ranks: Tensor, cutoff: int | None = None) -> Tensor:
    """The share of a gain that a rank pays, 1 / log2(1 + rank); nothing below the cutoff.

    >>> discount(torch.tensor([1.0, 3.0, 7.0]), cutoff=3)
    tensor([1.0000, 0.5000, 0.0000])
    """
    share = torch.log2(1 + ranks).reciprocal()
    return share if cutoff is None else torch.where(ranks <= cutoff, share, 0)


def ranks(scores: Tensor, mask: Tensor) -> Tensor:
    """[lists, docs] rank of each document by descending score, from 1; tied scores rank in input order.

    Masked documents come after all real ones.

    >>> ranks(torch.tensor([[0.5, 2.0, 0.5]]), torch.ones(1, 3, dtype=torch.bool))
    tensor([[2., 1., 3.]])
    """
    order = torch.where(mask, scores, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
    places = torch.arange(1, scores.shape[-1] + 1, device=scores.device, dtype=scores.dtype)
    return torch.empty_like(scores).scatter_(-1, order, places.expand_as(scores))


def rank_discounts(scores: Tensor, mask: Tensor, cutoff: int | None = None) -> tuple[Tensor, Tensor]:
    """[lists, docs] the discount of each document's rank by descending score, and [docs] that of each rank.

    The first is ``discount(ranks(scores, mask), cutoff)``, with logarithms of the ranks of one list only.
    """
    order = torch.where(mask, scores, -torch.inf).sort(dim=-1, descending=True, stable=True).indices
    share = _discounts(scores, cutoff)
    return torch.empty_like(scores).scatter_(-1, order, share.expand_as(scores)), share


def _discounts(like: Tensor, cutoff: int | None) -> Tensor:
    """[docs] what each rank pays."""
    places = torch.arange(1, like.shape[-1] + 1, device=like.device, dtype=like.dtype)
    return discount(places, cutoff)


def nonzero(total: Tensor) -> Tensor:
    """What a sum may be divided by: itself, or 1 where it is 0."""
    return total + (total == 0)


def ideal_dcg(gained: Tensor, cutoff: int | None = None, share: Tensor | None = None) -> Tensor:
    """[lists] the DCG of the best order, Σ gain · discount with gains sorted; 1 for a list without any gain.

    Args:
        gained: [lists, docs] gains, 0 where there is no document.
        cutoff: ranks below it pay nothing (None: all pay).
        share: [docs] what each rank pays, where that is known already.

    >>> ideal_dcg(torch.tensor([[0.0, 3.0, 1.0]]), cutoff=1)
    tensor([3.])
    """
    best = gained.sort(dim=-1, descending=True).values
    return nonzero((best * (_discounts(gained, cutoff) if share is None else share)).sum(-1))


def normalised_gains(
    labels: Tensor, mask: Tensor, gains: str = "exponential", cutoff: int | None = None, share: Tensor | None = None
) -> Tensor:
    """[lists, docs] each document's gain divided by its list's ideal DCG; 0 where there is no document.

    Args:
        labels, mask, gains, cutoff: as above.
        share: [docs] what each rank pays, where that is known already.
    """
    gained = torch.where(mask, gain(labels, gains), 0)
    return gained / ideal_dcg(gained, cutoff, share)[:, None]
