"""Learning to rank with selective matching losses.

The public names load lazily, so that ``import ltr`` costs milliseconds and torch is imported only when needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltr.io.importing.lazy import lazy_names

__version__ = "0.1.0"

#: public name -> the module that defines it
_HOMES = {
    "Reranker": "ltr.inference",
    "RemoteReranker": "ltr.inference",
    "FeatureRanker": "ltr.inference",
    "RankingModule": "ltr.training",
    "CrossEncoder": "ltr.scorers",
    "AttentionScorer": "ltr.scorers",
    "LinearScorer": "ltr.scorers",
    "MLPScorer": "ltr.scorers",
    "TextData": "ltr.data",
    "LetorData": "ltr.data",
    "EngagementData": "ltr.data",
    "TextLists": "ltr.batch",
    "FeatureLists": "ltr.batch",
    "LtrError": "ltr.errors",
    "links": ".",
    "losses": ".",
    "metrics": ".",
}

if TYPE_CHECKING:
    from ltr import links, losses, metrics
    from ltr.batch import FeatureLists, TextLists
    from ltr.data import EngagementData, LetorData, TextData
    from ltr.errors import LtrError
    from ltr.inference import FeatureRanker, RemoteReranker, Reranker
    from ltr.scorers import AttentionScorer, CrossEncoder, LinearScorer, MLPScorer
    from ltr.training import RankingModule

__all__ = [*_HOMES, "__version__"]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name
    __getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
