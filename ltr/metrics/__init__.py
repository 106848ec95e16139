"""Measures of runs and of real-valued predictions, paired comparisons (of systems over seeds too), interpolation."""

from ltr.io.labelled import LabelledLists
from ltr.metrics.engine import Evaluation, evaluate
from ltr.metrics.fusion import best_weight, best_weights, fuse, interpolate
from ltr.metrics.measures.by_ranx import warm_up
from ltr.metrics.measures.focus import focus_measures
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.labels import LabelEvaluation, evaluate_labels
from ltr.metrics.measures.measure import Measure, measures
from ltr.metrics.statistics.contrasts import Contrast, contrasts, corrected
from ltr.metrics.statistics.paired import Comparison, compare
from ltr.metrics.statistics.pooled_samples import Pooled, sample
from ltr.metrics.statistics.samples import PerQuery
from ltr.metrics.statistics.seeds import Summary, summarise

__all__ = [
    "Comparison",
    "Contrast",
    "Evaluation",
    "LabelEvaluation",
    "LabelMeasure",
    "LabelledLists",
    "Measure",
    "PerQuery",
    "Pooled",
    "Summary",
    "best_weight",
    "best_weights",
    "compare",
    "contrasts",
    "corrected",
    "evaluate",
    "evaluate_labels",
    "focus_measures",
    "fuse",
    "interpolate",
    "measures",
    "sample",
    "summarise",
    "warm_up",
]
