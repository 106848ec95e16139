"""What is done to features and labels before learning, fitted on the training part alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: rows that are read at a time, so that a mapped matrix never stands in memory in float64
ROWS = 100_000


@dataclass(frozen=True, eq=False)
class Normalisation:
    """What a scorer does to raw features first: ``(f(x) - shift) / scale``, f = sign(x) log(1 + abs(x)) or identity.

    The data fit it on their training part; the scorer holds and applies it, so that a saved model takes raw features.

    Attributes:
        log1p: whether f is the logarithm; it draws in long tails and keeps the order.
        shift: [features] float64, the mean of f(x), or 0.
        scale: [features] float64, the standard deviation of f(x), or 1; 1 for constant features too.
    """

    log1p: bool
    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, log1p: bool = False, standardise: bool = True) -> Normalisation:
        """Fitted on [documents, features].

        >>> fitted = Normalisation.fit(np.array([[0.0, 7.0], [2.0, 7.0]]))
        >>> fitted.shift.tolist(), fitted.scale.tolist()
        ([1.0, 7.0], [1.0, 1.0])
        """
        n_docs, n_features = features.shape
        shift, scale = np.zeros(n_features), np.ones(n_features)
        if standardise:
            pieces = [slice(i, i + ROWS) for i in range(0, n_docs, ROWS)]
            shift = sum((signed_log1p(features[piece], log1p).sum(0) for piece in pieces), shift) / n_docs
            squares = sum((np.square(signed_log1p(features[p], log1p) - shift).sum(0) for p in pieces), np.zeros(1))
            scale = np.sqrt(squares / n_docs)
            # a feature that is constant up to rounding tells nothing, and must not be blown up
            scale[scale <= 1e-7 * np.abs(shift)] = 1.0
            scale[scale == 0] = 1.0
        return cls(log1p, shift, scale)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """[documents, features] float64, normalised."""
        return (signed_log1p(features, self.log1p) - self.shift) / self.scale


@dataclass(frozen=True)
class Target:
    """What is learnt in place of an amount of engagement: ``(f(y) - mean) / std``, f = log(1 + y) or identity.

    Args:
        log1p: whether f is the logarithm.
        mean: of f(y) over the training labels, or 0.
        std: its standard deviation, or 1.

    >>> target = Target(log1p=True)
    >>> target.back(target(np.array([0.0, 59.0]))).round(9).tolist()
    [0.0, 59.0]
    """

    log1p: bool = True
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, labels: np.ndarray, log1p: bool, standardise: bool) -> Target:
        """Fitted on training labels; those that are all equal keep a deviation of 1."""
        if not standardise:
            return cls(log1p)
        plain = cls(log1p)(labels)
        std = float(plain.std())
        return cls(log1p, float(plain.mean()), std if std > 1e-12 else 1.0)

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """[documents] float64 what is learnt."""
        wide = np.asarray(labels, np.float64)
        return ((np.log1p(wide) if self.log1p else wide) - self.mean) / self.std

    def unit(self, of: str) -> str:
        """The unit of what is learnt, in words, from that of the amounts.

        >>> Target(log1p=True, mean=3.0, std=2.0).unit("seconds")
        'standardised log(1 + seconds)'
        """
        plain = f"log(1 + {of or 'label'})" if self.log1p else of
        return f"standardised {plain or 'labels'}" if (self.mean, self.std) != (0.0, 1.0) else plain

    def back(self, values: np.ndarray) -> np.ndarray:
        """[documents] float64 amounts, from what is learnt or predicted; never negative."""
        plain = np.asarray(values, np.float64) * self.std + self.mean
        return np.maximum(np.expm1(plain) if self.log1p else plain, 0.0)


def signed_log1p(values: np.ndarray, apply: bool = True) -> np.ndarray:
    """``sign(x) log(1 + abs(x))`` in float64; the values as they are where ``apply`` is False."""
    wide = values.astype(np.float64)
    return np.sign(wide) * np.log1p(np.abs(wide)) if apply else wide
