"""Inference: scoring batches, reranking texts."""

from ltr.inference.reranker import Ranked, Reranker
from ltr.inference.scoring import Scored, score, score_run

__all__ = ["Ranked", "Reranker", "Scored", "score", "score_run"]
