"""Scorers: a batch of lists in, one raw score per document out."""

from ltr.scorers.attention import AttentionScorer
from ltr.scorers.base import Scorer
from ltr.scorers.cross_encoder import CrossEncoder
from ltr.scorers.feature_loading import load_scorer
from ltr.scorers.feature_settings import FeatureSettings
from ltr.scorers.features import FeatureScorer, LinearScorer, MLPScorer
from ltr.scorers.settings import ModelSettings

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
