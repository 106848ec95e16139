"""p-values of paired differences: Student's test, Fisher's randomisation test, and their correction for their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ltr.errors import DataError, ShapeError

Test = Literal["student", "fisher"]
#: random sign flips of Fisher's test
PERMUTATIONS = 100_000
#: a spread below this share of the mean is what rounding leaves of none
ROUNDING = 1e-9
#: up to this many differing queries the randomisation test counts all sign flips instead of sampling
EXACT = 16
#: array cells that one step of resampling holds
CELLS = 4_000_000


class PermutationTest(NamedTuple):
    """A p-value of Fisher's randomisation test: ``(1 + as large) / (1 + drawn)``, or exact where all ways were counted.

    Never a tail of another distribution: no p is smaller than what was drawn can tell.

    Attributes:
        p: the two-sided p-value.
        drawn: random permutations that p was counted over; 0 where all ways were counted.
        most: permutations that are drawn at most; 0 where all ways were counted.
    """

    p: float
    drawn: int = 0
    most: int = 0

    @property
    def least(self) -> float:
        """The smallest p-value that so many permutations can give; 0 where all ways were counted."""
        return 1 / (1 + self.most) if self.most else 0.0

    @property
    def bound(self) -> bool:
        """Whether no permutation was as large, so that p says only how many were drawn."""
        return self.drawn > 0 and self.p <= self.least


def p_values(
    tests: Sequence[Test], differences: np.ndarray, permutations: int, seed: int
) -> tuple[dict[str, float], dict[str, PermutationTest]]:
    """(test -> p-value, randomisation test -> how its p was counted) of values per query of one run minus another's."""
    counts: dict[str, PermutationTest] = {
        t: fisher_test(differences, permutations, seed) for t in tests if t == "fisher"
    }
    return {t: counts[t].p if t in counts else student(differences) for t in tests}, counts


def student(differences: np.ndarray) -> float:
    """Two-sided p-value of Student's paired t-test of the mean difference; 1 where nothing differs.

    NaN where it is undefined: of one query, and where all differences are equal and not 0. Without spread t is infinite
    however few they are, and two equal differences are no evidence; ``fisher`` counts them (p = 0.5).

    Args:
        differences: [queries] values of one run minus those of the other.

    >>> round(student(np.array([1.0, 2.0, 3.0])), 4)  # t = 2 / (1 / sqrt(3)) with 2 degrees of freedom
    0.0742
    """
    from scipy.special import stdtr

    d = to_unit_scale(checked_values(differences))
    if len(d) < 2:
        return float("nan")
    if not d.any():
        return 1.0
    error = spread(d) / np.sqrt(len(d))
    return float(2 * stdtr(len(d) - 1, -abs(d.mean()) / error)) if error > 0 else float("nan")


def spread(differences: np.ndarray) -> float:
    """Standard deviation of differences; 0 where it is no more than rounding, NaN of one.

    >>> spread(np.array([0.3 - 0.2, 0.4 - 0.3]))
    0.0
    """
    if len(differences) < 2:
        return float("nan")
    exponent = int(np.frexp(np.abs(differences).max())[1])
    d = np.ldexp(differences, -exponent)  # exact, and squares of 1e-160 are 0
    sd = float(d.std(ddof=1))
    return float(np.ldexp(sd, exponent)) if sd > ROUNDING * abs(float(d.mean())) else 0.0


def fisher(differences: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Two-sided p-value of Fisher's randomisation test: how often do random signs give a mean as large?

    The null hypothesis is that the two runs are exchangeable query by query: which of them reached which of a query's
    two values is a toss of a coin. Queries without a difference do not matter. Up to 16 others all sign flips are
    counted, and p is exact (one query: 1); beyond, ``permutations`` are drawn and p is ``(1 + as large) / (1 +
    permutations)``, which never understates it: by default no p is below 1e-5. ``fisher_test`` tells how p came about.

    Args:
        differences: [queries] values of one run minus those of the other.
        permutations: random sign flips.
        seed: of the random numbers.

    >>> fisher(np.array([1.0, 2.0, 3.0]))  # only + + + and - - - of 8 are as large
    0.25
    """
    return fisher_test(differences, permutations, seed).p


def fisher_test(differences: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0) -> PermutationTest:
    """The p-value of ``fisher`` with the number of permutations that it was counted over."""
    d = checked_values(differences)
    d = d[d != 0]
    if not len(d):
        return PermutationTest(1.0)
    bound = abs(d.sum()) - 1e-12 * np.abs(d).sum()  # sums of the same numbers differ by rounding
    if len(d) <= EXACT:
        flips = (np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1
        return PermutationTest(float((np.abs((1 - 2 * flips) @ d) >= bound).mean()))

    def as_large() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(seed)
        step = max(1, CELLS // len(d))
        for start in range(0, permutations, step):
            rows = min(step, permutations - start)
            drawn = np.unpackbits(rng.integers(0, 256, (rows, -(-len(d) // 8)), np.uint8), axis=1, count=len(d))
            # flipping the signs of a set takes twice its sum away
            yield np.abs(d.sum() - 2 * (drawn @ d)) >= bound

    return sequential_test(as_large(), permutations)


def sequential_test(
    as_large: Iterable[np.ndarray], most: int, least: int = 0, enough: int | None = None
) -> PermutationTest:
    """The p-value of a randomisation test from its permutations, drawn until enough are as large as what was observed.

    After ``least`` permutations no more are drawn where ``enough`` were as large, or from the one on that makes them
    enough. p is ``(1 + as large) / (1 + drawn)`` of those before that one; under the null hypothesis the chance of a p up to
    a level is at most that level, whatever these numbers are.

    Args:
        as_large: blocks of [permutations] bool, whether the statistic is as large; taken only as far as needed.
        most: permutations that are drawn at most.
        least: ... at least.
        enough: how many must be as large to stop; None: all are drawn.

    Source: J. Besag and P. Clifford, "Sequential Monte Carlo p-values", Biometrika 1991.
    """
    larger = drawn = 0
    for block in as_large:
        for part in np.split(block, [max(0, least - drawn)]):  # what is drawn in any case, and beyond
            if enough is not None and drawn >= least:
                if larger >= enough:
                    return PermutationTest((1 + larger) / (1 + drawn), drawn, most)
                ends = np.flatnonzero(part)[: enough - larger]
                if larger + len(ends) == enough:
                    before = drawn + int(ends[-1])
                    return PermutationTest(enough / (1 + before), before, most)
            larger, drawn = larger + int(part.sum()), drawn + len(part)
    return PermutationTest((1 + larger) / (1 + drawn), drawn, most)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values corrected for their number, so that the chance of any false discovery stays below the level.

    An undefined p-value (NaN) counts as a comparison and stays NaN.

    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    undefined = np.isnan(p)
    p = checked_values(np.where(undefined, 1.0, p))
    order = np.argsort(p)
    raised = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return np.where(undefined, np.nan, adjusted)


def to_unit_scale(x: np.ndarray) -> np.ndarray:
    """x over its largest value, for what no scale changes: squares of 1e-160 are 0 already."""
    return x / (np.abs(x).max(initial=0.0) or 1.0)


def checked_values(values: Sequence[float] | np.ndarray) -> np.ndarray:
    x = np.asarray(values, np.float64)
    if x.ndim != 1:
        raise ShapeError(f"compare: values must be flat, one per query, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise DataError(f"compare: values must be finite, got {x[~np.isfinite(x)][0]}")
    return x
