"""From contrasts to forest plots: of runs and of a benchmark's systems."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ltr.metrics.statistics.contrasts import Contrast
from ltr.report.page.page import Forest, ForestRow
from ltr.report.tables.contrasts import ALPHA


def forests_of(
    contrasts: Sequence[Contrast], p_of: Callable[[Contrast], float | None], level: float = 0.95
) -> list[Forest]:
    """A plot for each measure and baseline, in the order in which they come.

    Args:
        contrasts: of one data set.
        p_of: the corrected p-value by which a difference is marked; None where no test was done.
        level: coverage of the intervals.
    """
    plots: dict[tuple[str, str], list[Contrast]] = {}
    for c in contrasts:
        plots.setdefault((str(c.measure), c.baseline), []).append(c)
    return [
        Forest(
            measure,
            baseline,
            [ForestRow(c.system, c.difference, c.low, c.high, p_of(c)) for c in own],
            smaller_is_better=not own[0].measure.larger_is_better,
            alpha=ALPHA,
            level=level,
        )
        for (measure, baseline), own in plots.items()
    ]
