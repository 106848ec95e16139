"""What an expression says before anything is built: classes with their arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A class with arguments, neither imported from text again nor built yet."""

    made: type
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Hole:
    """``{name}``: where a search puts a value."""

    name: str


def hole_in(text: str) -> Hole | None:
    """What a text such as ``{name}`` stands for; None for any other."""
    inner = text[1:-1]
    return Hole(inner) if text == f"{{{inner}}}" and inner.isidentifier() else None
