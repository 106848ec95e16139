"""A focus whose range is not known before the training labels are."""

from __future__ import annotations

from dataclasses import dataclass

from ltr.errors import ConfigError
from ltr.links.base import Link


@dataclass(frozen=True, repr=False)
class FocusOnLabels(Link):
    """``Exp.focus(top=0.2)`` as configurations write it: a link of that kind, steep over one end of the training labels.

    It stands where a link will be, and is none: ``ltr fit`` and benchmarks put the link itself there once they know the
    labels (``ltr.expressions.settled``), so that what is trained and saved has a centre and a width.

    Args:
        kind: the link's class: ``Exp``, or the import path of one of your own.
        top: share of the largest labels, such as 0.2; see ``Link.focus``.
        bottom: instead: share of the smallest labels.
        scale: factor of the link.

    Raises:
        ConfigError: always: where it is made, nobody knows the labels.
    """

    kind: str
    top: float | None = None
    bottom: float | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        share = f"top={self.top}" if self.bottom is None else f"bottom={self.bottom}"
        raise ConfigError(
            f"{self.kind}.focus({share}) takes its range from training labels, which ltr fit and ltr benchmark know, and "
            "nobody does here; give range=(low, high), or scores=, a sample of scores"
        )
