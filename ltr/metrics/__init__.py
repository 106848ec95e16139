"""Measures of runs, paired comparisons and measures of the focus region."""

from ltr.metrics.engine import Evaluation, evaluate, warm_up
from ltr.metrics.measure import Measure, measures

__all__ = ["Evaluation", "Measure", "evaluate", "measures", "warm_up"]
