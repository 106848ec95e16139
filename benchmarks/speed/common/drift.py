"""How far scores moved, how well they rank, and how much arithmetic they take."""

from __future__ import annotations

from typing import Any

import numpy as np


def kendall(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau of two scorings, the mean over queries: pairs in the same order less pairs in the other, of all pairs.

    Args:
        one, other: [queries, docs]. A tie in one of them counts as neither.

    >>> kendall(np.array([[3.0, 2, 1]]), np.array([[3.0, 1, 2]])).__round__(3)
    0.333
    """
    above = np.triu_indices(one.shape[1], 1)
    signs = [np.sign(scores[:, above[0]] - scores[:, above[1]]) for scores in (one, other)]
    return float((signs[0] * signs[1]).mean())


def quality(scores: np.ndarray, positives: list[int]) -> tuple[float, float]:
    """(nDCG@10, MRR) where each query has one right passage; of equal scores the first comes first.

    >>> quality(np.array([[1.0, 3.0, 2.0], [5.0, 1.0, 1.0]]), [2, 0])
    (0.8154648767857288, 0.75)
    """
    right = scores[np.arange(len(scores)), positives][:, None]
    before = np.arange(scores.shape[1]) < np.array(positives)[:, None]
    ranks = 1 + ((scores > right) | ((scores == right) & before)).sum(1)
    gains = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)
    return float(gains.mean()), float((1 / ranks).mean())


def operations(lengths: np.ndarray, config: Any) -> float:
    """Operations that an encoder must do for texts of these lengths, without padding.

    A token meets the matrices of each layer once: 4 h^2 for attention and 2 h i for the feed-forward part; each pair of a
    document's tokens meets twice (query times key, weight times value), h wide; a multiplication and an addition are
    two. So for n tokens 2 L (n (4 h^2 + 2 h i) + 2 n^2 h) with L layers, h the hidden and i the inner width. Norms,
    embeddings and the head are left out.

    Args:
        lengths: [documents] tokens of each, special ones included.
        config: with num_hidden_layers, hidden_size and intermediate_size.
    """
    h, i, n = config.hidden_size, config.intermediate_size, np.asarray(lengths, np.float64)
    return float(2 * config.num_hidden_layers * (n * (4 * h * h + 2 * h * i) + 2 * n * n * h).sum())
