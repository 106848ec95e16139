"""Which links a page draws, and over which scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ltr.links import Identity
from ltr.losses.base import Loss
from ltr.report.page.page import LinkPicture

#: how many widths to both sides of a link's centre are shown, and around 0
WIDTHS, AROUND = 4.0, 3.0


def link_pictures(losses: Mapping[str, Loss]) -> list[LinkPicture]:
    """A picture for every loss with a link or transform that favours some scores; several losses of one link share it.

    Args:
        losses: what the reader knows each loss by -> the loss.

    >>> from ltr.links import Exp
    >>> from ltr.losses import CompositeSoftmax, ListNet
    >>> [picture.label for picture in link_pictures({"ours": CompositeSoftmax(Exp()), "classic": ListNet()})]
    ['ours']
    """
    pictures: dict[str, tuple[Any, dict[str, str]]] = {}
    for label, loss in losses.items():
        link = getattr(loss, "transform", None) or getattr(loss, "link", None)
        if link not in (None, Identity()):  # RankNet and its like: every score alike
            of = f"{label} (link of score differences)" if loss.on_differences else label
            pictures.setdefault(repr(link), (link, {}))[1].setdefault(of, repr(loss))
    return [
        LinkPicture(", ".join(labels), "\n".join(dict.fromkeys(labels.values())), [link], score_range([link]))
        for link, labels in pictures.values()
    ]


def score_range(links: Sequence[Any]) -> tuple[float, float]:
    """Scores that show the links' shapes: four widths to both sides of every centre, and 0 with its neighbourhood.

    >>> from ltr.links import Identity, Sigmoid
    >>> score_range([Sigmoid(center=5.0, width=0.5) + 0.1 * Identity()])
    (-4.0, 7.0)
    """
    low, high = -AROUND, AROUND
    for part in (p for link in links for p in _shapes(link)):
        for value in (part.center - WIDTHS * part.width, part.center + WIDTHS * part.width):
            low, high = min(low, value), max(high, value)
    return low, high


def _shapes(link: Any) -> list[Any]:
    """The parts of a link that have a centre and a width."""
    if hasattr(link, "parts"):
        return [shape for part in link.parts for shape in _shapes(part)]
    if hasattr(link, "link"):
        return _shapes(link.link)
    return [link] if hasattr(link, "center") and hasattr(link, "width") else []
