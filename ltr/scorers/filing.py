"""How model hubs file a saved model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Filing:
    """What a hub must know of a kind of model to list it, and to show how it is opened.

    Attributes:
        title: the kind, in words.
        task: the hub's name of what it is for (``pipeline_tag``); None where no name fits.
        library: what opens it (``library_name``).
        tags: other words that it is found by.
    """

    title: str = "Ranker"
    task: str | None = None
    library: str = "ltr"
    tags: tuple[str, ...] = ()
