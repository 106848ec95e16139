"""Data: collections, candidates, tokens and batches. The public names load lazily."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

#: public name -> the module that defines it
_HOMES = {
    "Collection": "collection",
    "EngagementData": "engagement",
    "LetorData": "letor",
    "load": "collection",
    "retrieve": "candidates",
    "Reading": "passages",
    "Sampling": "sampling",
    "TextData": "text",
    "TokenStore": "token_store",
}

if TYPE_CHECKING:
    from ltr.data.candidates import retrieve
    from ltr.data.collection import Collection, load
    from ltr.data.engagement import EngagementData
    from ltr.data.letor import LetorData
    from ltr.data.passages import Reading
    from ltr.data.sampling import Sampling
    from ltr.data.text import TextData
    from ltr.data.token_store import TokenStore

__all__ = [
    "Collection",
    "EngagementData",
    "LetorData",
    "Reading",
    "Sampling",
    "TextData",
    "TokenStore",
    "load",
    "retrieve",
]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name

    def __getattr__(name: str):
        if name not in _HOMES:
            raise AttributeError(f"module 'ltr.data' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
        value = getattr(importlib.import_module(f"ltr.data.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
