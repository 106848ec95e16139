"""Scorers: a batch of lists in, one raw score per document out."""

from ltr.scorers.base import Scorer
from ltr.scorers.features.attention import AttentionScorer
from ltr.scorers.features.loading import load_scorer
from ltr.scorers.features.scorers import FeatureScorer, LinearScorer, MLPScorer
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.features import FeatureSettings
from ltr.settings.texts import ModelSettings

__all__ = [
    "AttentionScorer",
    "CrossEncoder",
    "FeatureScorer",
    "FeatureSettings",
    "LinearScorer",
    "MLPScorer",
    "ModelSettings",
    "Scorer",
    "load_scorer",
]
