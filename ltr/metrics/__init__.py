"""Measures of runs, paired comparisons, interpolation, and measures of the focus region."""

from ltr.metrics.compare import Comparison, Contrast, compare
from ltr.metrics.engine import Evaluation, evaluate, warm_up
from ltr.metrics.focus import focus_measures
from ltr.metrics.fusion import best_weight, interpolate
from ltr.metrics.measure import Measure, measures

__all__ = [
    "Comparison",
    "Contrast",
    "Evaluation",
    "Measure",
    "best_weight",
    "compare",
    "evaluate",
    "focus_measures",
    "interpolate",
    "measures",
    "warm_up",
]
