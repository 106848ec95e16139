"""Scorers: a batch of lists in, one raw score per document out."""

from ltr.scorers.base import Scorer
from ltr.scorers.cross_encoder import CrossEncoder
from ltr.scorers.features import FeatureScorer, LinearScorer, MLPScorer
from ltr.scorers.settings import ModelSettings

__all__ = ["CrossEncoder", "FeatureScorer", "LinearScorer", "MLPScorer", "ModelSettings", "Scorer"]
