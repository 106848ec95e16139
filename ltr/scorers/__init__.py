"""Scorers: a batch of lists in, one raw score per document out."""

from ltr.scorers.base import Scorer, TextScorer
from ltr.scorers.causal.causal_scorer import CausalScorer
from ltr.scorers.causal.policy_ratio import PolicyRatio
from ltr.scorers.causal.token_student import TokenStudent
from ltr.scorers.features.attention import AttentionScorer
from ltr.scorers.features.scorers import FeatureScorer, LinearScorer, MLPScorer
from ltr.scorers.opening import load_scorer
from ltr.scorers.retrievers.bi_encoder import BiEncoder
from ltr.scorers.retrievers.late_interaction import LateInteraction
from ltr.scorers.retrievers.sparse import Sparse
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings import FeatureSettings, ModelSettings

__all__ = [
    "AttentionScorer",
    "BiEncoder",
    "CausalScorer",
    "CrossEncoder",
    "FeatureScorer",
    "FeatureSettings",
    "LateInteraction",
    "LinearScorer",
    "MLPScorer",
    "ModelSettings",
    "PolicyRatio",
    "Scorer",
    "Sparse",
    "TextScorer",
    "TokenStudent",
    "load_scorer",
]
