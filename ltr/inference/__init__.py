"""Inference: scoring batches, reranking texts, scoring documents with features."""

from ltr.inference.feature_ranker import FeatureRanker
from ltr.inference.reranker import Ranked, Reranker
from ltr.inference.scoring import Scored, score, score_run

__all__ = ["FeatureRanker", "Ranked", "Reranker", "Scored", "score", "score_run"]
