"""Inference: scoring batches, reranking texts here or on a server, scoring documents with features.

Names load lazily: what asks a server needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltr.io.importing.lazy import lazy_names

#: public name -> the module that defines it
_HOMES = {
    "FeatureRanker": ".feature_ranker",
    "Ranked": ".documents",
    "RemoteReranker": ".remote",
    "Reranker": ".reranker",
    "Scored": ".scoring",
    "score": ".scoring",
    "score_run": ".scoring",
}

if TYPE_CHECKING:
    from ltr.inference.documents import Ranked
    from ltr.inference.feature_ranker import FeatureRanker
    from ltr.inference.remote import RemoteReranker
    from ltr.inference.reranker import Reranker
    from ltr.inference.scoring import Scored, score, score_run

__all__ = ["FeatureRanker", "Ranked", "RemoteReranker", "Reranker", "Scored", "score", "score_run"]


if not TYPE_CHECKING:  # for type checkers a module with this function would have every name
    __getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
