"""Differences that systems show, made up."""

import numpy as np


def sample(n: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.beta(0.4, 0.6, n) - rng.beta(0.4, 0.6, n) + shift
