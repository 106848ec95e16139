"""The picture of a loss's link beside a card, as ``ltr plot link`` draws it."""

from __future__ import annotations

from pathlib import Path

from ltr.errors import LtrError
from ltr.expressions import read, value_of
from ltr.links import Link
from ltr.losses.base import Loss


def link_of(expression: str) -> Link | None:
    """The link that a loss is made of, by what a manifest calls the loss; None where it has none, or is not one of ltr's.

    >>> link_of("Matching(Sigmoid(center=2.0))")
    Sigmoid(center=2.0)
    >>> link_of("ListNet()") is None
    True
    """
    try:
        loss = value_of(read(expression))
    except (
        LtrError
    ):  # a class of the user's own: its module may not be here, and a manifest may not choose what is imported
        return None
    if not isinstance(loss, Loss):
        return None
    held = [value for part in loss.modules() for value in vars(part).values()]
    return next((value for value in held if isinstance(value, Link)), None)


def draw(link: Link, path: Path) -> None:
    """Write the picture of a link.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    from ltr.report.charts.links_and_losses import draw_links
    from ltr.report.charts.style import save

    save(draw_links([link]), path)
