"""Scores of different runs brought to one scale, so that they can be added."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ltr.errors import ConfigError
from ltr.io.runs import Run


def normalised(run: Run) -> np.ndarray:
    """[entries] scores of a run brought to [0, 1] within each query."""
    low, high = _extremes(run)
    return (run.scores - low) / np.where(high > low, high - low, 1.0)


def _extremes(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """[entries] the smallest and the largest score of each entry's query."""
    # the scores order is float32's, so neither end of a list is safely its extreme
    return _spread(run, np.minimum.reduceat), _spread(run, np.maximum.reduceat)


def _spread(run: Run, reduced: Callable, values: np.ndarray | None = None) -> np.ndarray:
    """[entries] what values come to within the query of each entry."""
    sizes = np.diff(run.offsets)
    starts = run.offsets[:-1][sizes > 0]
    if not len(starts):
        return np.zeros(0)
    return np.repeat(reduced(run.scores if values is None else values, starts), sizes[sizes > 0])


def _by_largest(run: Run) -> np.ndarray:
    largest = _extremes(run)[1]
    wrong = (largest <= 0) & (run.scores < 0)
    if wrong.any():  # logits: divided by next to nothing they would drown every other run
        at = int(np.argmax(wrong))
        query = run.query_ids[int(np.searchsorted(run.offsets, at, "right")) - 1]
        raise ConfigError(
            f"fuse: norm max divides by the largest score of a query, which must be above 0; in run {run.name}, query {query}, "
            f"it is {largest[at]:g}; take min-max, zmuv or standard"
        )
    return run.scores / np.where(largest > 0, largest, 1.0)


def _by_sum(run: Run) -> np.ndarray:
    above = normalised(run)
    whole = _spread(run, np.add.reduceat, above)
    return above / np.where(whole > 0, whole, 1.0)


def _by_deviation(run: Run) -> np.ndarray:
    n = np.repeat(np.diff(run.offsets), np.diff(run.offsets))
    above = normalised(run)  # else squares of very small or large scores are 0 or infinite
    away = above - _spread(run, np.add.reduceat, above) / n
    deviation = np.sqrt(_spread(run, np.add.reduceat, away**2) / n)
    return away / np.where(deviation > 0, deviation, 1.0)


def _by_deviation_of_all(run: Run) -> np.ndarray:
    if not len(run.scores):
        return run.scores
    low, high = run.scores.min(), run.scores.max()
    above = (run.scores - low) / ((high - low) or 1.0)
    return (above - above.mean()) / (float(above.std()) or 1.0)


def _by_rank_of(run: Run) -> np.ndarray:
    sizes = np.diff(run.offsets)
    place = np.arange(len(run.scores)) - np.repeat(run.offsets[:-1], sizes)
    return 1 - place / np.repeat(sizes, sizes)


#: name, as in ranx -> [entries] scores of a run that can be added to those of another; ``standard`` is ltr's own: all
#: scores of a run are brought to mean 0 and deviation 1 at once, so that what a query's scores say of their level stays
NORMS: dict[str, Callable[[Run], np.ndarray]] = {
    "min-max": normalised,
    "max": _by_largest,
    "sum": _by_sum,
    "zmuv": _by_deviation,
    "rank": _by_rank_of,
    "standard": _by_deviation_of_all,
    "none": lambda run: run.scores,
}
