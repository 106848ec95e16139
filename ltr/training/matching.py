"""Scorer and data that belong together, and what one must know of the other before training."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ltr.errors import ConfigError
from ltr.scorers.base import Scorer
from ltr.scorers.features.scorers import FeatureScorer
from ltr.settings.features import FeatureSettings
from ltr.settings.texts import ModelSettings


def fit_to_data(scorer: Scorer, data: Any) -> None:
    """Tell a feature scorer how many features there are and how to normalise them.

    Raises:
        ConfigError: a scorer on features with data that have none, or one that cannot normalise features with data that
            ask for it.
    """
    name, kind = type(scorer).__name__, type(data).__name__
    n_features = getattr(data, "n_features", None)
    if isinstance(scorer, FeatureScorer):
        if n_features is None:
            raise ConfigError(
                f"RankingModule: {name} scores documents by features, which {kind} does not give; take "
                "ltr.data.LetorData or ltr.data.EngagementData, or a scorer of texts"
            )
        how = data.normalisation
        scorer.fit_to(n_features, *(() if how is None else (how.log1p, how.shift, how.scale)))
    elif n_features is not None:
        raise ConfigError(
            f"RankingModule: {kind} gives features, which {name} does not read; take ltr.scorers.MLPScorer, or derive "
            "the scorer from ltr.scorers.FeatureScorer"
        )


def settings_of(scorer: Scorer, data: Any) -> ModelSettings | FeatureSettings:
    """What a model trained on the data must know about them, to be saved with it."""
    if not isinstance(scorer, FeatureScorer):
        lengths = {"max_length": data.max_length, "max_query_length": data.max_query_length}
        reading = asdict(data.reading) if hasattr(data, "reading") else {}
        return ModelSettings(**lengths, trained_on=data.trained_on, **reading)
    target = getattr(data, "target", None)
    return FeatureSettings(
        feature_names=data.feature_names,
        target=asdict(target) if target is not None else {},
        trained_on=data.trained_on,
    )
