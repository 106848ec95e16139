"""Data: collections, candidates, tokens and batches. The public names load lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltr.io.importing.lazy import lazy_names

#: public name -> the module that defines it
_HOMES = {
    "Collection": ".collections.collection",
    "EngagementData": ".features.engagement",
    "LetorData": ".features.letor",
    "load": ".collections.collection",
    "retrieve": ".candidates.sources",
    "Part": ".base",
    "PreferenceData": ".preferences.preference_data",
    "RankingData": ".base",
    "Reading": ".tokens.passages",
    "TextEncoder": ".tokens.reader",
    "load_tokenizer": ".tokens.pairs",
    "Sampling": ".lists.sampling",
    "TextData": ".text.text_data",
    "TokenStore": ".tokens.store",
}

if TYPE_CHECKING:
    from ltr.data.base import Part, RankingData
    from ltr.data.candidates.sources import retrieve
    from ltr.data.collections.collection import Collection, load
    from ltr.data.features.engagement import EngagementData
    from ltr.data.features.letor import LetorData
    from ltr.data.lists.sampling import Sampling
    from ltr.data.preferences.preference_data import PreferenceData
    from ltr.data.text.text_data import TextData
    from ltr.data.tokens.pairs import load_tokenizer
    from ltr.data.tokens.passages import Reading
    from ltr.data.tokens.reader import TextEncoder
    from ltr.data.tokens.store import TokenStore

__all__ = [
    "Collection",
    "EngagementData",
    "LetorData",
    "Part",
    "PreferenceData",
    "RankingData",
    "Reading",
    "Sampling",
    "TextData",
    "TextEncoder",
    "TokenStore",
    "load",
    "load_tokenizer",
    "retrieve",
]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name
    __getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
